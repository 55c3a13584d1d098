"""Group commit: concurrent requests become one transaction, with one flush to disk for all of them.

Requests enter by `submit`, one task takes what has gathered and appends it, and each request gets its own result.
While a batch is being committed the next one gathers. Under load it starts once as many requests have gathered as the
last two batches had on average (or after a few milliseconds): half of the clients are then served while the other
half's requests are being committed, and the fixed cost of a transaction is shared. A lone request never waits.

Tenants take turns (`fair_queue`), so a request waits for the batch under way and for its own, however much others have
queued. The queue is bounded in events, and in what one tenant may have of it; what does not fit is refused at once (not
stored). A request waits at most `deadline_s` in all: still queued then, it is refused (not stored), also while a batch
before it hangs; under way then, its outcome is unknown.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from turnlog_eventstore import (
    Appended,
    AppendRequest,
    OutcomeUnknown,
    StatementFailed,
    Stored,
    StoreError,
    StoreUnavailable,
)
from turnlog_ingest.fair_queue import FairQueue, Room
from turnlog_ingest.metrics import (
    BATCH_EVENTS,
    COMMIT_SECONDS,
    QUEUED_EVENTS,
    REFUSED,
    TURNS_DUPLICATE,
    TURNS_STORED,
    WAIT_SECONDS,
)
from turnlog_ingest.waiting_writes import InOrder, QueueFull, Waiting
from turnlog_runtime.metrics import watch

BATCH_BYTES = 8 * 1024 * 1024
EXPRESS_EVENTS = 10
LEAST_APPEND_S = 0.05
_log = structlog.get_logger()


class Appender(Protocol):
    """What group commit needs of the event store."""

    async def append(self, log: str, requests: list[AppendRequest], deadline_s: float | None = None) -> list[Appended]:
        """See `Store.append`."""


@dataclass(frozen=True, slots=True)
class GroupCommitSettings:
    """Bounds of a batch, of the queue and of a request's time.

    `gather_s` is the longest that a batch waits for company, when those before it had `load_requests` or more. While
    several tenants write, a batch takes no further request once it has `shared_batch_events`.
    """

    batch_events: int = 1000
    shared_batch_events: int = 100
    queue_events: int = 20_000
    deadline_s: float = 5.0
    gather_s: float = 0.005
    load_requests: int = 6


class GroupCommit:
    """The queue of one log and the task that empties it."""

    def __init__(
        self,
        store: Appender,
        log: str,
        settings: GroupCommitSettings,
        committed: Callable[[Sequence[AppendRequest], Sequence[Appended]], None],
    ) -> None:
        """`committed` is told of every committed batch: the relay listens."""
        self._store, self._log, self._settings = store, log, settings
        self._committed = committed
        self._queue = FairQueue(settings.queue_events)
        self._wake = asyncio.Event()
        self._wake_at = 1
        self._closing = False
        self._expiry: asyncio.TimerHandle | None = None
        self._expires_at = math.inf
        self._turns_stored, self._turns_duplicate = TURNS_STORED.labels(log), TURNS_DUPLICATE.labels(log)
        watch(QUEUED_EVENTS.labels(log), lambda: float(self._queue.events))
        self._last_commit_s = 0.0

    def submit(
        self, request: AppendRequest, order: InOrder | None = None, deadline: float | None = None
    ) -> "asyncio.Future[Appended]":
        """Queue a request; the future gets its result, or `StoreUnavailable`, `OutcomeUnknown`, `UnknownLog`.

        `deadline` (of the monotonic clock) is when the future is done at the latest; by default `deadline_s` from now.
        Raises `QueueFull` at once when the queue (or the tenant's part of it) is full, or the process is draining.
        Cancelling the future does not take the request back.
        """
        if self._closing or not self._queue.has_room(request.events[0].tenant, len(request.events)):
            REFUSED.inc()
            raise QueueFull("too many writes are waiting")
        result: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        ends_at = now + self._settings.deadline_s
        if deadline is not None and deadline < ends_at:
            ends_at = deadline
        self._queue.push(Waiting(request, ends_at, result, order, now), now)
        if ends_at < self._expires_at:
            self._expire_at(ends_at)
        if len(self._queue) >= self._wake_at:
            self._wake.set()
        return result

    def close(self) -> None:
        """Take no more; `run` ends when the queue is empty."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Commit batches until closed and empty."""
        previous = last = 0
        try:
            while await self._gathered((previous + last) // 2):
                batch = self._take()
                previous, last = last, len(batch)
                if batch:
                    await self._commit(batch)
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry, self._expires_at = None, math.inf

    def _expire_at(self, ends_at: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expires_at = ends_at
        seconds = max(LEAST_APPEND_S, ends_at - time.monotonic())
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        """Refuse what is still queued at its deadline; look again when the next one is due."""
        self._expiry, self._expires_at = None, math.inf
        now = time.monotonic()
        for waiting in self._queue.take_late(now):
            self._refuse(waiting)
        if self._queue:
            self._expire_at(self._queue.next_deadline())

    async def _gathered(self, company: int) -> bool:
        """Wait for a request, and shortly for `company` requests. False when closed and empty."""
        while not self._queue:
            if self._closing:
                return False
            await self._woken_at(1)
        if self._settings.load_requests <= company and len(self._queue) < company and not self._closing:
            timer = asyncio.get_running_loop().call_later(self._settings.gather_s, self._wake.set)
            await self._woken_at(company)
            timer.cancel()
        return True

    async def _woken_at(self, requests: int) -> None:
        self._wake_at = requests
        self._wake.clear()
        await self._wake.wait()

    def _take(self) -> list[Waiting]:
        """The next batch. While several tenants write it is kept short: whoever comes next waits for the one that is
        under way."""
        now = time.monotonic()
        settings, most = self._settings, self._settings.batch_events
        room = Room(most, BATCH_BYTES, most, most)
        if self._queue.shared(now):
            room = Room(most, BATCH_BYTES, min(most, settings.shared_batch_events), EXPRESS_EVENTS)
        batch = self._queue.take(room, partial(self._refused, now, self._least_s()))
        if batch:
            BATCH_EVENTS.observe(sum(len(waiting.request.events) for waiting in batch))
        return batch

    def _refused(self, now: float, least_s: float, waiting: Waiting) -> bool:
        """Refuse a request that has too little time left, or whose order is broken; whether it was."""
        if waiting.deadline - now >= least_s and (waiting.order is None or not waiting.order.broken):
            return False
        self._refuse(waiting)
        return True

    def _least_s(self) -> float:
        """What a request must have left to be taken. A batch has the time of its most urgent request: one that has less
        than a commit takes now would make the outcome of all the others unknown, and the next batch's, too."""
        return max(LEAST_APPEND_S, min(1.5 * self._last_commit_s, self._settings.deadline_s / 2))

    @staticmethod
    def _refuse(waiting: Waiting) -> None:
        waiting.fail(StoreUnavailable("nothing was stored: its turn did not come in time, or a write before it failed"))

    async def _commit(self, batch: list[Waiting]) -> None:
        started = time.monotonic()
        requests = [waiting.request for waiting in batch]
        left_s = min(waiting.deadline for waiting in batch) - started
        for waiting in batch:
            WAIT_SECONDS.observe(started - waiting.since)
        try:
            try:
                results = await self._store.append(self._log, requests, max(left_s, LEAST_APPEND_S))
            finally:
                self._last_commit_s = time.monotonic() - started
        except StatementFailed as error:
            self._try_singly(batch, error)
            return
        except StoreError as error:
            for waiting in batch:
                waiting.fail(error)
            return
        except Exception as error:  # the outermost loop: a defect must not end the commits of all that follow
            _log.exception("commit_failed", log=self._log, cause=type(error).__name__)
            for waiting in batch:
                waiting.fail(OutcomeUnknown(f"the commit failed: {type(error).__name__}"))
            return
        COMMIT_SECONDS.observe(self._last_commit_s)
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.result.done():
                waiting.result.set_result(result)
        self._count_turns(results)
        self._committed(requests, results)

    def _count_turns(self, results: Sequence[Appended]) -> None:
        turns = [place for result in results if isinstance(result, Stored) for place in result.events if place.version]
        duplicates = sum(place.duplicate for place in turns)
        self._turns_stored.inc(len(turns) - duplicates)
        if duplicates:
            self._turns_duplicate.inc(duplicates)

    def _try_singly(self, batch: list[Waiting], error: Exception) -> None:
        """The append function itself raised, so nothing of the batch is stored: find the one it cannot take by
        giving each a batch of its own, before all others."""
        if len(batch) == 1:
            session_id = batch[0].request.events[0].session_id
            _log.error("append_failed", log=self._log, session_id=session_id, cause=type(error).__name__)
            batch[0].fail(error)
            return
        _log.warning("append_singly", log=self._log, requests=len(batch), cause=type(error).__name__)
        self._queue.push_first(batch)
        if (ends_at := min(waiting.deadline for waiting in batch)) < self._expires_at:
            self._expire_at(ends_at)
