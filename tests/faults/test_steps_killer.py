"""The killer counts every suspension and every resumption of every task, and nothing else."""

import asyncio

import pytest

from faults.steps.killer import Killer, exempt


async def counted(*works) -> Killer:  # type: ignore[no-untyped-def]
    """A killer that kills nobody, after these coroutines ran as tasks."""
    killer = Killer(None, lambda place: None)
    loop = asyncio.get_running_loop()
    killer.install(loop)
    try:
        await asyncio.gather(*(loop.create_task(work) for work in works))
    finally:
        loop.set_task_factory(None)
    return killer


async def twice() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


async def test_each_await_that_waits_has_two_crash_points() -> None:
    killer = await counted(twice())
    assert killer.reached == 4
    assert [place.split()[0] for place in killer.places] == ["suspended", "resumed"] * 2
    assert all("test_steps_killer.py" in place or place.endswith("in twice") for place in killer.places)


async def test_an_await_that_is_answered_at_once_has_none() -> None:
    async def answered() -> None:
        event = asyncio.Event()
        event.set()
        await event.wait()

    assert (await counted(answered())).reached == 0


async def test_tasks_of_tasks_are_counted_and_onlookers_are_not() -> None:
    async def parent() -> None:
        await asyncio.create_task(twice())

    async def watched() -> None:
        with exempt():
            onlooker = asyncio.create_task(parent())
        await onlooker

    assert (await counted(parent())).reached == 6
    assert (await counted(watched())).reached == 2


async def test_results_errors_and_cancellations_pass_through() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        await counted(failing())

    async def cancelled() -> str:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled"
        return "went on"

    async def checked() -> None:
        assert await cancelled() == "cancelled"

    assert (await counted(checked())).reached > 0
