"""A connection to Redis that breaks in ways the client library does not know: it is dropped, and reads come back."""

import asyncio
from typing import Any

import pytest

from turnlog_views.errors import ViewsUnavailable
from turnlog_views.link import Link, pack
from turnlog_views.pump import Pump, PumpSettings

RESET = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


class _Reset:
    """A connection that was reset, as uvloop shows it."""

    async def send_packed_command(self, *_: Any, **__: Any) -> None:
        raise RESET

    async def disconnect(self, **_: Any) -> None:
        """Nothing is left to close."""


async def test_writing_to_a_connection_that_was_reset_drops_it() -> None:
    link = Link("redis://127.0.0.1:1")
    link._connection = _Reset()  # type: ignore[assignment]
    with pytest.raises(ViewsUnavailable):
        await link.call([pack("PING")])
    assert not link.is_open


@pytest.mark.parametrize("error", [RESET, AttributeError("what nobody thought of")])
async def test_a_pump_outlives_any_failure_and_answers_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pump = Pump(redis_url, PumpSettings(deadline_s=5, backoff_first_s=0.01))
    running = asyncio.create_task(pump.run())
    try:
        await pump.ready.wait()
        with monkeypatch.context() as patch:

            async def failing(*_: Any) -> None:
                raise error

            patch.setattr(pump._link, "_exchange", failing)
            reply = pump.submit(pack("PING"))
            assert reply is not None
            assert await reply is None
        async with asyncio.timeout(5):
            while (again := pump.submit(pack("PING"))) is None or await again is None:
                await asyncio.sleep(0.01)
        assert await again == b"PONG"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_nothing_is_asked_of_a_server_that_has_not_said_which_one_it_is(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that came back with older data may hold stamps of its predecessor."""
    pump = Pump(redis_url, PumpSettings())
    link, asked, go = pump._link, asyncio.Event(), asyncio.Event()
    await link.open()
    greet, run_id = link._greet, link.run_id

    async def slow() -> str:
        asked.set()
        await go.wait()
        return await greet()

    monkeypatch.setattr(link, "_greet", slow)
    opening = asyncio.create_task(link.open())
    await asked.wait()
    assert pump.submit(pack("PING")) is None
    assert link.run_id == ""
    go.set()
    await opening
    assert link.run_id == run_id
    await link.close()
    assert link.run_id == ""
