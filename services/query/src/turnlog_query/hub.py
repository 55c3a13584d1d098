"""One follower per process feeds all live streams.

While there are streams the hub reads the log from its head on and hands each event to the subscriptions of its
session; without any it reads nothing. A
subscription is a bounded queue: a client that does not take its events in time is cut, so that one slow
reader costs a bounded amount of memory and nobody else any time.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import cast

import structlog

from turnlog_events.event import Event
from turnlog_eventstore import StoreError
from turnlog_follow import Batch
from turnlog_query.ports import EventReads, Follows

_log = structlog.get_logger()
RESTART_S = 1.0

Session = tuple[str, str]


class Subscription:
    """The live events of one session, from the moment it was made."""

    def __init__(self, waiting_events: int) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(waiting_events + 1)
        self._room = waiting_events
        self.cut = False
        """Set when the queue ran over: the events that follow are missing."""

    def offer(self, event: Event) -> None:
        """Queue an event, or cut the subscription when too many wait."""
        if self.cut:
            return
        if self._queue.qsize() >= self._room:
            self.cut = True
            self.end()
        else:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """Let the reader come to an end after what is queued."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        return await self._queue.get()


class LiveHub:
    """Hands the events of one log to subscriptions by session."""

    def __init__(self, store: EventReads, follower: Follows, log: str, waiting_events: int = 1_000) -> None:
        self._store = store
        self._follower = follower
        self._log_name = log
        self._waiting_events = waiting_events
        self._subscriptions: dict[Session, set[Subscription]] = defaultdict(set)
        self._stopped = False
        self._wanted = asyncio.Event()
        self.position = 0
        """The position of the last event handed on."""
        self.following = asyncio.Event()
        """Set once the hub knows where the log ends: what comes after reaches every subscription."""

    @property
    def streams(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._subscriptions.values()))

    def streams_of(self, tenant: str) -> int:
        """How many of them are a tenant's."""
        return sum(len(found) for (owner, _), found in self._subscriptions.items() if owner == tenant)

    @property
    def stopped(self) -> bool:
        """Whether the process is stopping: no new streams."""
        return self._stopped

    @contextmanager
    def subscribe(self, tenant: str, session_id: str) -> Iterator[Subscription]:
        """The events of a session after `position` as it is now."""
        subscription = Subscription(self._waiting_events)
        session = (tenant, session_id)
        self._subscriptions[session].add(subscription)
        self._wanted.set()
        if self._stopped:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions[session].discard(subscription)
            if not self._subscriptions[session]:
                del self._subscriptions[session]
            if not self._subscriptions:
                self._wanted.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the log until `stop`, then end every subscription. An outage is waited out."""
        following = asyncio.create_task(self._follow_for_ever())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopped = True
            for subscriptions in self._subscriptions.values():
                for subscription in subscriptions:
                    subscription.end()
            following.cancel()
            stopping.cancel()
            await asyncio.gather(following, stopping, return_exceptions=True)

    async def _follow_for_ever(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
                continue
            except StoreError as error:
                _log.warning("live_hub_waits", log=self._log_name, cause=type(error).__name__)
            except Exception:  # outermost loop of a worker: live streams come back, whatever happened
                _log.exception("live_hub_failed", log=self._log_name)
                self._start_over()
            await asyncio.sleep(RESTART_S)

    async def _follow(self) -> None:
        """Follow from the log's head until nobody listens."""
        if not self.following.is_set():
            self.position = (await self._store.head(self._log_name)).position
            self.following.set()
        following = cast("AsyncGenerator[Batch, None]", self._follower.batches(self.position))
        async with aclosing(following) as batches:
            async for batch in batches:
                self._hand_on(batch.events)
                if not self._wanted.is_set():
                    self.following.clear()
                    return

    def _start_over(self) -> None:
        """The log may be another one now: clients resume from PostgreSQL with the last id they have."""
        self.following.clear()
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end()

    def _hand_on(self, events: Sequence[Event]) -> None:
        for event in events:
            for subscription in self._subscriptions.get((event.tenant, event.session_id), ()):
                subscription.offer(event)
            self.position = event.position
