"""How far consumers are behind their logs, in events and in seconds: true also when nothing happens, and when a server
is away.

A consumer says how far it has come (`Lag.at`). Apart from that, each second one query asks PostgreSQL for all logs of
the process where they end, and how old the first event is that was not handled. While PostgreSQL does not answer, what
is known to wait goes on growing older; nothing new can come then. Who leads knows how far it is; one that has not heard
(Redis or NATS was away since its start) counts from where the log stood when it began to lead.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import structlog
from prometheus_client import Gauge

from turnlog_eventstore import Store, StoreError
from turnlog_eventstore.metrics import LOG_POSITION
from turnlog_follow.metrics import FOLLOWED, LAG_EVENTS, LAG_SECONDS

LOOK_S = 1.0
UNKNOWN = -1
_log = structlog.get_logger()


class Lag:
    """How far one consumer is behind one log, shown by gauges. While `active` says no, this process is not to tell."""

    def __init__(
        self, log: str, active: Callable[[], bool], events: Iterable[Gauge], seconds: Gauge, name: str = ""
    ) -> None:
        self.log, self.active, self.name = log, active, name
        self.position = UNKNOWN
        self._events, self._seconds = tuple(events), seconds
        self._head = 0
        self._waits_since = 0.0
        self._show()

    def at(self, position: int) -> None:
        """The consumer has handled all events up to here. Where it begins, or goes back to, only the next look can tell
        how old what follows is."""
        if position < self.position or self.position == UNKNOWN:
            self._waits_since = time.monotonic()
        self.position = position
        self._show()

    def look(self, head: int, asked_position: int, age_us: int | None) -> None:
        """What PostgreSQL says: where the log ends, and the age of the event after `asked_position`."""
        LOG_POSITION.labels(self.log).set(head)
        if not self.active():
            self.position, self._head = UNKNOWN, 0
        else:
            self._head = head
            if self.position == UNKNOWN:
                self.position = head
            if age_us is not None:
                self._waits_since = time.monotonic() - max(0, age_us) / 1_000_000
        self._show()

    def grow_older(self) -> None:
        """PostgreSQL does not say."""
        self._show()

    def _show(self) -> None:
        behind = max(0, self._head - self.position) if self.position != UNKNOWN else 0
        for gauge in self._events:
            gauge.set(behind)
        self._seconds.set(time.monotonic() - self._waits_since if behind else 0)


class FollowerLag(Lag):
    """The lag of a follower's consumer, which counts what it took, too."""

    def __init__(self, log: str, consumer: str, active: Callable[[], bool], also: Iterable[Gauge] = ()) -> None:
        """`also` are older gauges that show the same number of events."""
        labels = (log, consumer)
        super().__init__(log, active, (LAG_EVENTS.labels(*labels), *also), LAG_SECONDS.labels(*labels), consumer)
        self._from_bus = FOLLOWED.labels(log, consumer, "nats")
        self._from_store = FOLLOWED.labels(log, consumer, "postgres")

    def took(self, events: int, position: int, *, from_bus: bool) -> None:
        """The consumer has handled so many events, up to here."""
        (self._from_bus if from_bus else self._from_store).inc(events)
        self.at(position)


class Lags:
    """All lags of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lags: dict[tuple[str, str], Lag] = {}

    def add(self, lag: Lag) -> None:
        """Keep this one true, in place of an earlier one of the same log and name."""
        self._lags[lag.log, lag.name] = lag

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Look each second until this is left, which waits for no server."""
        looking = asyncio.create_task(self.run())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    async def run(self) -> None:
        """Look each second, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception as error:  # the outermost loop: nobody shall stand still because his lag is not known
                _log.warning("lags_unknown", cause=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once."""
        lags = list(self._lags.values())
        asked = [lag.position for lag in lags]
        try:
            found = await self._store.standings([lag.log for lag in lags], asked) if lags else []
        except StoreError:
            for lag in lags:
                lag.grow_older()
            return
        for lag, position, (head, age_us) in zip(lags, asked, found, strict=True):
            lag.look(head, position, age_us)
