"""The relay: publishes the log on JetStream so that sequence N is position N.

There is no cursor: where to go on is the stream's own last sequence. Each batch expects the stream to end where the
batch begins, so a second or late relay is fenced by the server. A lost tail is published again, a lost stream is made
anew to start at the first missing position. The leader's lock is only liveness.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from turnlog_bus import Bus, BusError, StreamMissing, StreamName, WrongSequence
from turnlog_events.event import Event
from turnlog_eventstore import Appended, AppendRequest, Leadership, LogHead, Store, Stored, StoreError, newly_stored
from turnlog_ingest.tail import Tail

RELAYED = Counter("turnlog_relayed_events_total", "Events published on JetStream")
FENCED = Gauge("turnlog_log_fenced", "1 while JetStream is ahead of PostgreSQL and writes are refused")

BATCH_BYTES = 4 * 1024 * 1024
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Size of a batch, how often to look unasked, the pause after a failure, how many of the newest events a
    stream that was lost gets again (older ones come from PostgreSQL), and the least time between batches: under load
    it makes one batch of several commits; an event that comes after a pause is published at once."""

    batch_events: int = 500
    pace_s: float = 0.004
    poll_s: float = 1.0
    retry_s: float = 0.5
    retry_max_s: float = 5.0
    backfill_events: int = 100_000


class Fence:
    """Whether writes are refused: JetStream holds events that this PostgreSQL does not, so it lost its tail."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def set(self, reason: str | None) -> None:
        """Refuse writes for `reason`, or with None accept them."""
        if reason != self.reason:
            _log.log(40 if reason else 30, "log_fenced" if reason else "log_unfenced", reason=reason)
        self.reason = reason
        FENCED.set(1 if reason else 0)


class Relay:
    """The relay of one log. `committed` is called by the group commit of this process."""

    def __init__(self, store: Store, bus: Bus, log: str, settings: RelaySettings, fence: Fence) -> None:
        self._store, self._bus, self._log_name, self._settings = store, bus, log, settings
        self._fence = fence
        self._wake = asyncio.Event()
        self._to_hint = asyncio.Event()
        self._tail = Tail()
        self.leading = False
        self._stream: StreamName | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever no other replica does, until cancelled."""
        while not stop.is_set():
            async with self._store.leadership(f"relay/{self._log_name}") as held:
                _log.info("relay_leading", log=self._log_name)
                self.leading = True
                try:
                    await self._lead(held, stop)
                finally:
                    self.leading = False
                    self._tail.clear()

    def committed(self, requests: Sequence[AppendRequest], results: Sequence[Appended]) -> None:
        """This process committed a batch: wake the leader, here or (by `hint_others`) elsewhere."""
        if not self.leading:
            self._to_hint.set()
            return
        for request, result in zip(requests, results, strict=True):
            if isinstance(result, Stored):
                self._tail.add(newly_stored(request, result))
        self._wake.set()

    async def hint_others(self) -> None:
        """While another replica leads, tell it of each commit here by a message that may be lost."""
        while True:
            await self._to_hint.wait()
            self._to_hint.clear()
            try:
                await self._bus.hint(self._stream or await self.learn_stream())
            except (BusError, StoreError):
                continue

    async def learn_stream(self) -> StreamName:
        """The log's stream, from its incarnation in PostgreSQL."""
        head = await self._store.head(self._log_name)
        self._stream = StreamName(self._log_name, head.incarnation)
        return self._stream

    async def _lead(self, held: Leadership, stop: asyncio.Event) -> None:
        pause_s = self._settings.retry_s
        hinted = False
        while not (held.lost.is_set() or stop.is_set()):
            try:
                stream = await self.learn_stream()
                if not hinted:
                    await self._bus.on_hint(stream, self._wake.set)
                    hinted = True
                await self._publish_from(stream, await self._start(stream), held, stop)
                pause_s = self._settings.retry_s
            except (BusError, StoreError) as error:
                _log.warning("relay_waits", cause=type(error).__name__, pause_s=pause_s)
                await _sleep_unless(held.lost, pause_s)
                pause_s = min(pause_s * 2, self._settings.retry_max_s)

    async def _start(self, stream: StreamName) -> int:
        """The position the stream ends at, after comparing it with PostgreSQL. Sets or lifts the fence."""
        head = await self._store.head(self._log_name)
        try:
            last = await self._bus.last_sequence(stream)
        except StreamMissing:
            first = max(1, head.position - self._settings.backfill_events + 1)
            last = await self._bus.ensure_stream(stream, first)
            _log.info("stream_created", stream=stream.stream, first_sequence=first)
        if last > head.position:
            await self._check_ahead(stream, head, last)
        elif last > 0 and (stored := await self._bus.event_at(stream, last)) is not None:
            own = await self._store.read_after(self._log_name, last - 1, 1)
            if not own or own[0].chain_hash != stored.chain_hash:
                self._fence.set(f"JetStream and PostgreSQL differ at position {last}")
                raise WrongSequence(f"position {last} differs")
            self._fence.set(None)
        else:
            self._fence.set(None)
        return last

    async def _check_ahead(self, stream: StreamName, head: LogHead, last: int) -> None:
        self._fence.set(f"JetStream ends at {last}, PostgreSQL at {head.position}: PostgreSQL lost its tail")
        raise WrongSequence(f"stream {stream.stream} is ahead")

    async def _publish_from(self, stream: StreamName, last: int, held: Leadership, stop: asyncio.Event) -> None:
        """Publish what follows `last` until leadership ends; a publish that fails raises and everything is compared
        again."""
        paced_until = 0.0
        while not (held.lost.is_set() or stop.is_set()):
            await asyncio.sleep(max(0.0, paced_until - time.monotonic()))
            paced_until = time.monotonic() + self._settings.pace_s
            self._wake.clear()
            events = self._tail.after(last, self._settings.batch_events)
            if not events:
                events = await self._store.read_after(self._log_name, last, self._settings.batch_events)
            full = len(events) == self._settings.batch_events
            for batch in in_batches(events, BATCH_BYTES):
                last = await self._bus.publish(stream, batch)
                RELAYED.inc(len(batch))
            if not full and not self._tail.after(last, 1) and not self._wake.is_set():
                await _sleep_unless(self._wake, self._settings.poll_s)
                if not self._wake.is_set() and await self._bus.last_sequence(stream) != last:
                    raise WrongSequence("the stream changed while nothing was published")


def in_batches(events: list[Event], max_bytes: int) -> Iterator[list[Event]]:
    """`events` in runs of at most `max_bytes` of payload (a larger event is a run of its own)."""
    run: list[Event] = []
    size_bytes = 0
    for event in events:
        if run and size_bytes + len(event.payload) > max_bytes:
            yield run
            run, size_bytes = [], 0
        run.append(event)
        size_bytes += len(event.payload)
    if run:
        yield run


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):  # not wait_for: before Python 3.12 it can lose a cancellation
            await event.wait()
    except TimeoutError:
        return
