"""The lane for requests of many turns: one step each time the loop comes round, tenants in turn."""

import asyncio

from turnlog_ingest.reading_lane import WAITING_MAX, ReadingLane
from turnlog_ingest.waiting_writes import QueueFull


async def test_tenants_take_steps_in_turn() -> None:
    lane, done = ReadingLane(), []

    async def read(tenant: str, steps: int) -> None:
        for _ in range(steps):
            await lane.step(tenant)
            done.append(tenant)

    async with asyncio.TaskGroup() as tasks:
        for tenant in ("n", "n", "n", "q"):
            tasks.create_task(read(tenant, 3))
    assert done.index("q") <= 1
    assert "".join(done[:6]).count("q") == 3


async def test_between_two_steps_everything_else_gets_its_turn() -> None:
    lane, seen = ReadingLane(), []

    async def read() -> None:
        await lane.step("n")
        seen.append("step")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(read())
        for _ in range(8):
            await asyncio.sleep(0)
            seen.append("loop")
    text = "".join("s" if s == "step" else "l" for s in seen)
    assert "ss" not in text


async def test_a_request_that_was_cancelled_holds_nobody_up() -> None:
    lane = ReadingLane()
    first = [asyncio.create_task(lane.step("n")) for _ in range(3)]
    await asyncio.sleep(0)
    first[1].cancel()
    await asyncio.wait_for(asyncio.gather(*first, return_exceptions=True), 5)
    await asyncio.wait_for(lane.step("n"), 5)


async def test_beyond_its_bound_a_tenant_is_refused_and_another_is_not() -> None:
    lane = ReadingLane()
    tasks = [asyncio.create_task(lane.step("n")) for _ in range(WAITING_MAX + 1)]
    other = asyncio.create_task(lane.step("q"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await other
    assert [type(r) for r in results].count(QueueFull) == 1
