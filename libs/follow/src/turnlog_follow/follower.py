"""The follower: a log in order from a position, from NATS for speed and from PostgreSQL for truth.

Who calls: projector, compressor and live subscriptions. It never skips and never reorders: what NATS sends is taken
only if it is the next position and its chain hash follows from the event before it; on a gap, a mismatch, silence
while the log moved, or without NATS at all, the same events are read from PostgreSQL.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from turnlog_bus import Bus, BusError, StreamName, consume
from turnlog_events.errors import Corrupt
from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS, check_event
from turnlog_eventstore import LogHead, Store, StoreUnavailable
from turnlog_follow.lag import FollowerLag


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """Sizes and intervals. `poll_s` is how often PostgreSQL is asked while NATS is away; `tick_s` how often an empty
    batch comes when nothing happens; `retry_s` the pause before NATS is tried again."""

    batch_events: int = 1000
    poll_s: float = 0.1
    tick_s: float = 1.0
    retry_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Contiguous events: the first stands at `after` + 1, the last at `last` (= `after` when there are none).
    `head` is the newest position known, so the lag is `head` − `last`; `from_bus` tells where they came from."""

    events: tuple[Event, ...]
    after: int
    last: int
    head: int
    from_bus: bool = False


class IncarnationChanged(Exception):
    """The log's incarnation is not the one this follower started with: the database was replaced."""


class Follower:
    """Follows one log. One `batches` iteration at a time."""

    def __init__(
        self,
        store: Store,
        bus: Bus | None,
        log: str,
        settings: FollowSettings = FollowSettings(),
        lag: FollowerLag | None = None,
    ) -> None:
        """`lag` is told how far the consumer has come: a batch counts as handled when the next one is asked for."""
        self._store, self._bus, self.log, self._settings = store, bus, log, settings
        self._lag = lag
        self._incarnation = ""
        self._head = 0
        self._chain = GENESIS
        self._bus_retry_at = 0.0

    async def batches(self, after: int) -> AsyncGenerator[Batch, None]:
        """Endless contiguous batches after a position; an empty one at least about every `tick_s` seconds.

        Survives the loss of either server. Raises `IncarnationChanged`, and `Corrupt` if PostgreSQL itself has a hole.
        """
        position = after
        if self._lag is not None:
            self._lag.at(after)
        self._chain = await self._chain_at(position)
        while True:
            async with aclosing(self._from_store(position)) as stored:
                async for batch in stored:
                    position = batch.last
                    yield batch
                    self._handled(batch)
            if self._bus is not None and time.monotonic() >= self._bus_retry_at:
                try:
                    async with aclosing(self._from_bus(position)) as sent:
                        async for batch in sent:
                            position = batch.last
                            yield batch
                            self._handled(batch)
                except BusError:
                    self._bus_retry_at = time.monotonic() + self._settings.retry_s
            else:
                await asyncio.sleep(self._settings.poll_s)

    def _handled(self, batch: Batch) -> None:
        if self._lag is not None:
            self._lag.took(len(batch.events), batch.last, from_bus=batch.from_bus)

    async def _from_store(self, position: int) -> AsyncGenerator[Batch, None]:
        """All that PostgreSQL has after `position`, then one empty batch."""
        while True:
            try:
                events = await self._store.read_after(self.log, position, self._settings.batch_events)
                if not events or len(events) < self._settings.batch_events:
                    await self._look_at_head(position)
            except StoreUnavailable:
                yield self._batch((), position)
                await asyncio.sleep(self._settings.tick_s / 2)
                continue
            if not events:
                yield self._batch((), position)
                return
            self._check_dense(events, position)
            yield self._batch(tuple(events), position)
            position, self._chain = events[-1].position, events[-1].chain_hash
            if len(events) < self._settings.batch_events:
                return

    async def _from_bus(self, position: int) -> AsyncGenerator[Batch, None]:
        """What NATS sends, as long as it is contiguous, proven and not behind PostgreSQL."""
        assert self._bus is not None
        behind_since: float | None = None
        looked_at = time.monotonic()
        name = StreamName(self.log, self._incarnation)
        consuming = consume(self._bus, name, position)
        async with aclosing(consuming):
            async for received in consuming:
                events = self._proven([e for e in received if e.position > position], position)
                if events is None:
                    return
                if events:
                    yield self._batch(tuple(events), position, from_bus=True)
                    position, self._chain = events[-1].position, events[-1].chain_hash
                    behind_since = None
                if time.monotonic() - looked_at < self._settings.tick_s and received:
                    continue
                looked_at = time.monotonic()
                if not events:
                    yield self._batch((), position)
                try:
                    await self._look_at_head(position)
                except StoreUnavailable:
                    continue
                if self._head > position:
                    behind_since = behind_since or looked_at
                    if looked_at - behind_since >= self._settings.tick_s and not events:
                        return
                else:
                    behind_since = None

    def _proven(self, events: list[Event], position: int) -> list[Event] | None:
        """`events` when each is the next one and its hashes follow; None when PostgreSQL must be asked."""
        chain = self._chain
        try:
            for number, event in enumerate(events, position + 1):
                if event.position != number or event.log != self.log:
                    return None
                check_event(chain, event)
                chain = event.chain_hash
        except Corrupt:
            return None
        return events

    def _check_dense(self, events: list[Event], position: int) -> None:
        for number, event in enumerate(events, position + 1):
            if event.position != number:
                raise Corrupt(f"position {number} is missing", self.log, number)

    def _batch(self, events: tuple[Event, ...], after: int, *, from_bus: bool = False) -> Batch:
        last = events[-1].position if events else after
        self._head = max(self._head, last)
        return Batch(events, after, last, self._head, from_bus)

    async def _look_at_head(self, position: int) -> LogHead:
        head = await self._store.head(self.log)
        if self._incarnation and head.incarnation != self._incarnation:
            raise IncarnationChanged(f"log {self.log}: {self._incarnation} became {head.incarnation}")
        self._incarnation = head.incarnation
        self._head = max(head.position, position)
        return head

    async def _chain_at(self, position: int) -> bytes:
        """The chain hash of the event at `position`; waits while PostgreSQL is away."""
        while True:
            try:
                if position == 0:
                    return GENESIS
                events = await self._store.read_after(self.log, position - 1, 1)
                return events[0].chain_hash if events else GENESIS
            except StoreUnavailable:
                await asyncio.sleep(self._settings.tick_s / 2)
