"""The relay: publishes the log on JetStream so that sequence N is position N.

There is no cursor: where to go on is the stream's own last sequence. Each batch expects the stream to end where the
batch begins, and its first event must follow from the stream's last one by its chain hash: so a second or late relay is
fenced by the server, and a PostgreSQL that lost its tail and was written to again never gets its other history onto the
stream. A lost tail is published again, a lost stream is made anew to start at the first missing position. The leader's
lock is only liveness.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog

from turnlog_bus import Bus, BusError, StreamName, WrongSequence
from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS, chain_hash
from turnlog_eventstore import Appended, AppendRequest, Leadership, Store, Stored, StoreError, newly_stored
from turnlog_eventstore.waiting import passed
from turnlog_follow import Lag
from turnlog_follow.fence import FenceWatch
from turnlog_ingest.metrics import RELAY_LAG_EVENTS, RELAY_LAG_SECONDS, RELAYED
from turnlog_ingest.tail import Tail

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


@dataclass(slots=True)
class _End:
    """Where the stream ends; `chain_hash` is None when the event there is not known (the stream never had it)."""

    position: int
    chain_hash: bytes | None


class Relay:
    """The relay of one log. `committed` is called by the group commit of this process."""

    def __init__(self, store: Store, bus: Bus, log: str, settings: RelaySettings, watch: FenceWatch) -> None:
        self._store, self._bus, self._log_name, self._settings = store, bus, log, settings
        self._watch = watch
        self._wake = asyncio.Event()
        self._to_hint = asyncio.Event()
        self._tail = Tail()
        self.leading = False
        self.lag = Lag(
            log, lambda: self.leading, (RELAY_LAG_EVENTS.labels(log),), RELAY_LAG_SECONDS.labels(log), "relay"
        )
        store.on_epoch(lambda _: self._tail.clear())

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever no other replica does, until cancelled or `stop` is set."""
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
        pairs = zip(requests, results, strict=True)
        self._tail.add(
            e for request, result in pairs if isinstance(result, Stored) for e in newly_stored(request, result)
        )
        self._wake.set()

    async def hint_others(self) -> None:
        """While another replica leads, tell it of each commit here by a message that may be lost."""
        while True:
            await self._to_hint.wait()
            self._to_hint.clear()
            try:
                await self._bus.hint(self._watch.stream or await self._learn_stream())
            except (BusError, StoreError):
                continue

    async def _learn_stream(self) -> StreamName:
        head = await self._store.head(self._log_name)
        return StreamName(self._log_name, head.incarnation)

    async def _lead(self, held: Leadership, stop: asyncio.Event) -> None:
        pause_s = self._settings.retry_s
        while not (held.lost.is_set() or stop.is_set()):
            try:
                stream, end = await self._start()
                self.lag.at(end.position)
                async with self._bus.hints(stream, self._wake.set):
                    pause_s = self._settings.retry_s
                    await self._publish_from(stream, end, held, stop)
            except (BusError, StoreError) as error:
                cause = f"{type(error).__name__}: {error}"
                position = self.lag.position
                _log.warning("relay_waits", log=self._log_name, position=position, cause=cause, pause_s=pause_s)
                await passed(held.lost, pause_s)
                pause_s = min(pause_s * 2, self._settings.retry_max_s)

    async def _start(self) -> tuple[StreamName, _End]:
        """The log's stream and where it ends, after comparing it with PostgreSQL. Sets or lifts the fence."""
        compared = await self._watch.compare()
        stream, last = compared.stream, compared.last
        if compared.difference is not None:
            raise WrongSequence(compared.difference)
        if last is None:
            first = max(1, compared.head.position - self._settings.backfill_events + 1)
            if await self._bus.ensure_stream(stream, first) != first - 1:
                raise WrongSequence("another relay made the stream meanwhile")
            _log.info("stream_created", stream=stream.stream, first_sequence=first)
            return stream, _End(first - 1, GENESIS if first == 1 else None)
        return stream, _End(last, GENESIS if last == 0 else compared.chain_hash)

    async def _publish_from(self, stream: StreamName, end: _End, held: Leadership, stop: asyncio.Event) -> None:
        """Publish what follows the stream's end until leadership ends; a failure raises and all is compared again."""
        paced_until, looked_at = 0.0, time.monotonic()
        while not (held.lost.is_set() or stop.is_set()):
            await asyncio.sleep(max(0.0, paced_until - time.monotonic()))
            paced_until = time.monotonic() + self._settings.pace_s
            self._wake.clear()
            events = self._tail.after(end.position, self._settings.batch_events)
            if not events:
                events = await self._store.read_after(self._log_name, end.position, self._settings.batch_events)
            full = len(events) == self._settings.batch_events
            for batch in in_batches(events, BATCH_BYTES):
                self._check_follows(end, batch[0])
                end = _End(await self._bus.publish(stream, batch), batch[-1].chain_hash)
                RELAYED.inc(len(batch))
                self.lag.at(end.position)
            if not full and not self._tail.after(end.position, 1) and not self._wake.is_set():
                await passed(self._wake, self._settings.poll_s)
            if time.monotonic() - looked_at >= self._settings.poll_s:
                looked_at = time.monotonic()
                await self._look(stream, end)

    def _check_follows(self, end: _End, event: Event) -> None:
        """Raise `WrongSequence` unless the event follows the stream's last one in the very history it belongs to."""
        if event.position != end.position + 1:
            raise WrongSequence(f"position {end.position + 1} is missing")
        if end.chain_hash is not None and chain_hash(end.chain_hash, event) != event.chain_hash:
            self._tail.clear()
            raise WrongSequence(f"position {event.position} does not follow from the stream's end")

    async def _look(self, stream: StreamName, end: _End) -> None:
        """Raise `WrongSequence` when the stream is not as this relay left it, or no longer the log's."""
        if self._watch.stream not in (None, stream):
            raise WrongSequence("the log has a new incarnation")
        if await self._bus.last_sequence(stream) != end.position:
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
