"""A relay pass: a stream that does not exist yet, and one that lost its tail; more events come while the relay runs."""

import asyncio
from contextlib import suppress
from typing import ClassVar

from faults.steps.ground import Ground
from faults.steps.judging import events_of, log_faults
from making import request, turn
from turnlog_bus import Bus, StreamMissing, StreamName
from turnlog_eventstore import Store
from turnlog_follow.fence import Fence, FenceWatch
from turnlog_ingest.relay import Relay, RelaySettings

BEFORE, DURING = 24, 6
QUICK = RelaySettings(batch_events=10, poll_s=0.05, retry_s=0.02, pace_s=0.0)


class _Relaying:
    published: ClassVar[int]

    async def prepare(self, ground: Ground) -> None:
        """A log of `BEFORE` events, the first `published` of them in the stream (none: no stream)."""
        async with ground.store() as store, ground.bus() as bus:
            await _append(store, ground, 0, BEFORE)
            if self.published:
                name = await _stream(store, ground.log)
                await bus.ensure_stream(name, 1)
                await bus.publish(name, await store.read_after(ground.log, 0, self.published))

    async def operate(self, ground: Ground) -> None:
        """Relay until all is published, then append more and relay that."""
        async with ground.store() as store, ground.bus() as bus:
            fence = Fence(ground.log)
            relay = Relay(store, bus, ground.log, QUICK, FenceWatch(store, bus, ground.log, fence))
            running = asyncio.create_task(relay.run(asyncio.Event()))
            try:
                await _published(ground, BEFORE)
                await _append(store, ground, BEFORE, DURING, relay)
                await _published(ground, BEFORE + DURING)
                assert fence.reason is None, fence.reason
            finally:
                running.cancel()
                await asyncio.wait({running})

    async def after_crash(self, ground: Ground) -> list[str]:
        """The stream may end early; what it holds is what the log says."""
        return await _stream_faults(ground, whole=False)

    async def at_end(self, ground: Ground) -> list[str]:
        """Every event is in the stream once, sequence = position."""
        wrong = await _stream_faults(ground, whole=True)
        async with ground.store() as store, ground.bus() as bus:
            await (await bus.client()).jetstream().delete_stream((await _stream(store, ground.log)).stream)
        return wrong


class NewStream(_Relaying):
    """The log was never relayed."""

    published = 0


class LostTail(_Relaying):
    """JetStream lost what it had not flushed."""

    published = 9


async def _append(store: Store, ground: Ground, first: int, count: int, relay: Relay | None = None) -> None:
    """Events under fixed ids; a repeat stores nothing."""
    for n in range(first, first + count, 3):
        requests = [request(turn(ground.tenant, f"s{k % 3}", f"turn {k}", key=f"k{k}")) for k in range(n, n + 3)]
        results = await store.append(ground.log, requests)
        if relay is not None:
            relay.committed(requests, results)


async def _stream(store: Store, log: str) -> StreamName:
    return StreamName(log, (await store.head(log)).incarnation)


async def _published(ground: Ground, position: int) -> None:
    async with ground.bus() as bus:

        async def holds(store: Store) -> bool:
            with suppress(StreamMissing):
                return await bus.last_sequence(await _stream(store, ground.log)) >= position
            return False

        await ground.until(holds)


async def _stream_faults(ground: Ground, *, whole: bool) -> list[str]:
    async with ground.store() as store, ground.bus() as bus:
        events = await events_of(store, ground.log)
        wrong = await log_faults(store, ground.log, events)
        name = await _stream(store, ground.log)
        try:
            state = (await _settled(bus, name)).state
        except StreamMissing:
            return [*wrong, "there is no stream"] if whole else wrong
        expected = len(events) if whole else state.last_seq
        if (state.messages, state.last_seq) != (expected, expected):
            wrong.append(f"the stream has {state.messages} messages and ends at {state.last_seq}, not {expected}")
        for event in events[: state.last_seq]:
            if await bus.event_at(name, event.position) != event:
                wrong.append(f"sequence {event.position} is not the event of that position")
        if state.last_seq > len(events):
            wrong.append(f"the stream ends at {state.last_seq}, the log at {len(events)}")
        return wrong


async def _settled(bus: Bus, name: StreamName):  # type: ignore[no-untyped-def]  # nats-py's StreamInfo
    await bus.last_sequence(name)  # raises StreamMissing
    return await (await bus.client()).jetstream().stream_info(name.stream)
