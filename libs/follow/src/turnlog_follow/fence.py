"""The fence: writes are refused while the log's stream holds what this PostgreSQL does not.

A PostgreSQL that was restored to an older state, or whose promoted stand-by lacked the tail, has lost acknowledged
turns. JetStream, when it can be reached, still has them: its end is ahead of the log, or differs from it. Whoever
appends (every replica of ingest and compressor) compares the two at intervals, and before its first append to a
PostgreSQL it has not met (`epoch`). Away, NATS holds up nothing. The fence is lifted by itself only when the
comparison is good again, or by `turnlog logs accept`, which gives the log a new incarnation and so a new stream.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from turnlog_bus import Bus, BusError, StreamMissing, StreamName
from turnlog_events.errors import EventError
from turnlog_events.event import Event
from turnlog_eventstore import Appended, AppendRequest, LogHead, Store, StoreError, StoreUnavailable
from turnlog_eventstore.waiting import passed
from turnlog_follow.metrics import FENCED

NATS_S = 0.5
"""How long a first append waits for each of the two answers of NATS that a comparison takes."""
LOOKS = 3
DEADLINE_S = 5.0
_log = structlog.get_logger()


class Fenced(StoreError):
    """Writes are refused until an operator decides; nothing was stored."""


class _Unmet(Exception):
    """An append was about to go to a server that was not compared yet."""

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self.epoch = epoch


class Fence:
    """Whether the writes of a log are refused, and why."""

    def __init__(self, log: str = "main") -> None:
        self._log_name = log
        self._gauge = FENCED.labels(log)
        self.reason: str | None = None

    def set(self, reason: str | None) -> None:
        """Refuse writes for `reason`, or with None accept them."""
        if (reason is None) != (self.reason is None):
            event = "log_unfenced" if reason is None else "log_fenced"
            _log.log(30 if reason is None else 40, event, log=self._log_name, reason=reason)
        self.reason = reason
        self._gauge.set(0 if reason is None else 1)

    def check(self) -> None:
        """Raise `Fenced` while writes are refused."""
        if self.reason is not None:
            raise Fenced(self.reason)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A log's stream held to PostgreSQL: where the stream ends (None: there is none), the log's head read after that,
    the chain hash at the stream's end as PostgreSQL has it, and how the two differ (None: they do not)."""

    stream: StreamName
    last: int | None
    head: LogHead
    chain_hash: bytes | None
    difference: str | None


async def compare(
    store: Store, bus: Bus, log: str, incarnation: str | None = None, nats_s: float | None = None
) -> Comparison:
    """Hold the end of the log's stream to PostgreSQL. Raises `BusError` (also when NATS takes longer than `nats_s` for
    one answer) or `StoreError`.

    The stream's end is read first: it can never be ahead of a head that is read later, unless something was lost.
    """
    known = incarnation or (await store.head(log)).incarnation
    for _ in range(LOOKS):
        stream = StreamName(log, known)
        try:
            last: int | None = await bus.bounded(bus.last_sequence(stream), nats_s)
        except StreamMissing:
            last = None
        head = await store.head(log)
        if head.incarnation == known:
            return await _compared(store, bus, stream, last, head, nats_s)
        known = head.incarnation
    raise StoreError(f"log {log}: its incarnation changed again and again")


async def _compared(
    store: Store, bus: Bus, stream: StreamName, last: int | None, head: LogHead, nats_s: float | None
) -> Comparison:
    own: bytes | None = None
    difference: str | None = None
    if last and last > head.position:
        difference = f"JetStream ends at {last}, PostgreSQL at {head.position}: PostgreSQL lost its tail"
    elif last:
        at_last = await store.read_after(stream.log, last - 1, 1)
        own = at_last[0].chain_hash if at_last and at_last[0].position == last else None
        if not await _same(bus, stream, last, own, nats_s):
            difference = f"JetStream and PostgreSQL differ at position {last}: PostgreSQL lost what it once had there"
    return Comparison(stream, last, head, own, difference)


async def _same(bus: Bus, stream: StreamName, last: int, own: bytes | None, nats_s: float | None) -> bool:
    """Whether the stream's last message is PostgreSQL's event; also when the stream holds it no longer."""
    try:
        stored: Event | None = await bus.bounded(bus.event_at(stream, last), nats_s)
    except EventError:
        return False
    return stored is None or stored.chain_hash == own


class FenceWatch:
    """Compares one log with its stream, sets its fence, and holds up the first append to a PostgreSQL not yet met."""

    def __init__(self, store: Store, bus: Bus, log: str, fence: Fence, every_s: float = 1.0) -> None:
        self._store, self._bus, self._log_name, self._every_s = store, bus, log, every_s
        self._admitted = ""
        self._meeting: set[asyncio.Task[Comparison]] = set()
        self._begun = self._applied = 0
        self.fence = fence
        self.stream: StreamName | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Compare at intervals until `stop` is set."""
        while not await passed(stop, self._every_s * random.uniform(0.8, 1.2)):
            await self.look()

    async def append(
        self, log: str, requests: Sequence[AppendRequest], deadline_s: float | None = None
    ) -> list[Appended]:
        """`Store.append`, by the fence. Raises `Fenced` too.

        A server not met before is compared first. NATS has a second for that: while it is away, writes go on. That very
        server has half of what is left of the deadline, then nothing is stored: its pool may hold connections to the
        one before, which do not count and may be dead. No connection is held meanwhile, so that many logs that meet a
        server at once leave some for their comparisons.
        """
        ends_at = time.monotonic() + (DEADLINE_S if deadline_s is None else deadline_s)
        while True:
            try:
                return await self._store.append(log, requests, ends_at - time.monotonic(), self._admit)
            except _Unmet as unmet:
                await self._meet(unmet.epoch, ends_at - time.monotonic())

    async def _admit(self, epoch: str, _: float) -> None:
        """Called with the epoch of the server that an append is about to be sent to."""
        if epoch != self._admitted:
            raise _Unmet(epoch)
        self.fence.check()

    async def _meet(self, epoch: str, left_s: float) -> None:
        if left_s <= 0:
            raise StoreUnavailable("nothing was stored: the deadline passed before PostgreSQL was compared")
        looking = asyncio.create_task(self.compare(NATS_S))
        self._meeting.add(looking)
        looking.add_done_callback(self._met)
        await asyncio.wait({looking}, timeout=left_s / 2)
        error = looking.exception() if looking.done() and not looking.cancelled() else None
        if not looking.done() or isinstance(error, StoreError):  # only an absent NATS may go unasked
            raise StoreUnavailable("nothing was stored: PostgreSQL could not be compared with the stream") from error
        if error is not None:
            self._admitted = epoch

    def _met(self, looking: "asyncio.Task[Comparison]") -> None:
        self._meeting.discard(looking)
        if not looking.cancelled():
            looking.exception()  # told to the append that waited for it, if one still does

    async def look(self) -> Comparison | None:
        """Compare once and set or lift the fence; None (and the fence as it was) when either server is away."""
        try:
            return await self.compare()
        except (BusError, StoreError):
            return None

    async def compare(self, nats_s: float | None = None) -> Comparison:
        """Compare once and set or lift the fence; the relay, which shares this watch, asks by itself too.

        Of two comparisons at once the one begun later counts, whichever ends first. The server that it was made with
        takes appends from then on, by the fence. Raises `BusError`, `StoreError`.
        """
        self._begun += 1
        number = self._begun
        incarnation = self.stream.incarnation if self.stream is not None else None
        compared = await compare(self._store, self._bus, self._log_name, incarnation, nats_s)
        if number > self._applied:
            self._applied = number
            self.stream = compared.stream
            self.fence.set(compared.difference)
            self._admitted = compared.head.epoch
        return compared

    async def close(self) -> None:
        """End the comparisons that appends no longer wait for."""
        for task in self._meeting:
            task.cancel()
        if self._meeting:
            await asyncio.wait(self._meeting)
