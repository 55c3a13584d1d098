"""The compressor of one log: follow, note what moved, work off what is due, keep the checkpoint behind the work.

One is active per log, its stand-by waits for leadership. Two at once (a leader that was paused) are harmless: both plan
the same keys.
"""

import asyncio
import logging
import random
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from turnlog_compressor.job import Job, JobResult, JobSettings
from turnlog_compressor.metrics import COMPRESSION_SECONDS, JOBS, PENDING
from turnlog_compressor.orders import Order, WatchSettings
from turnlog_compressor.ports import Append, Log
from turnlog_compressor.summariser import Summariser
from turnlog_compressor.watchlist import Watchlist
from turnlog_eventstore import Leadership, StoreError
from turnlog_follow import Batch, IncarnationChanged

CONSUMER = "compressor"
"""Its name among the checkpoints."""

_log = structlog.get_logger()


class Follows(Protocol):
    """The part of `turnlog_follow.Follower` that is used here."""

    log: str

    def batches(self, after: int) -> AsyncIterator[Batch]:
        """Contiguous batches after a position, empty ones about every second."""


@dataclass(frozen=True, slots=True)
class CompressorLimits:
    """`workers` sessions are worked on at a time; every `tick_s` silence is noticed; the
    checkpoint is stored at most every `checkpoint_s`; an order that
    met a store away comes back after `retry_s` (jittered); a stopping compressor has `drain_s` to finish its jobs."""

    job: JobSettings = field(default_factory=JobSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    workers: int = 2
    tick_s: float = 0.5
    checkpoint_s: float = 2.0
    retry_s: float = 2.0
    drain_s: float = 10.0


class Compressor:
    """See the module. `clock` gives monotonic seconds."""

    def __init__(
        self,
        store: Log,
        follower: Follows,
        summariser: Summariser,
        limits: CompressorLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        announce: Callable[[], Awaitable[None]] | None = None,
        append: Append | None = None,
    ) -> None:
        """`announce` is called after each job that appended something: it tells the relay that the log moved. Events
        are appended by `append`; by default the store's own, without a fence."""
        self._append = append
        self._announce = announce
        self._store = store
        self._follower = follower
        self._summariser = summariser
        self._limits = limits or CompressorLimits()
        self._clock = clock
        self._watchlist = self._fresh()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._leading = False
        self._stopping = False
        self._last = 0
        self._saved = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work whenever this process leads the log's compression, until `stop` is set.

        Raises `IncarnationChanged` when the database was replaced: what this process knows is of another log.
        """
        await self._summariser.load()
        while not stop.is_set():
            leading = asyncio.ensure_future(self._lead(stop))
            stopped = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait({leading, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if self._leading:
                    await asyncio.wait({leading}, timeout=self._limits.drain_s)
            finally:
                await _ended(stopped, leading)
            error = None if leading.cancelled() else leading.exception()
            if error is not None:
                await self._after(error, stop)

    async def _after(self, error: BaseException, stop: asyncio.Event) -> None:
        """An error of the outermost loop: logged, and tried again after a pause."""
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, BaseExceptionGroup) and error.subgroup(IncarnationChanged):
            raise IncarnationChanged(f"log {self._follower.log} was replaced") from error
        away = isinstance(error, StoreError) or (
            isinstance(error, BaseExceptionGroup) and not error.split(StoreError)[1]
        )
        _log.log(
            logging.WARNING if away else logging.ERROR,
            "compressor_failed",
            log=self._follower.log,
            position=self._last,
            **_named(error),
        )
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({stopped}, timeout=self._limits.retry_s * random.uniform(0.5, 1.5))
        await _ended(stopped)

    async def _lead(self, stop: asyncio.Event) -> None:
        async with self._store.leadership(f"{CONSUMER}/{self._follower.log}") as leadership:
            _log.info("compressor_leads", log=self._follower.log)
            self._watchlist, self._stopping, self._leading = self._fresh(), False, True
            try:
                self._last = self._saved = await self._store.checkpoint(self._follower.log, CONSUMER)
                await self._work_until(stop, leadership)
            finally:
                self._leading = False
                PENDING.labels(self._follower.log).set(0)  # whoever leads now tells

    async def _work_until(self, stop: asyncio.Event, leadership: Leadership) -> None:
        async with asyncio.TaskGroup() as group:
            takers = [group.create_task(self._follow()), group.create_task(self._tick())]
            workers = [group.create_task(self._worker()) for _ in range(self._limits.workers)]
            waits = [asyncio.ensure_future(event.wait()) for event in (stop, leadership.lost)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _ended(*waits)
            self._stopping = True
            self._work.set()
            for task in takers + (workers if leadership.lost.is_set() else []):
                task.cancel()
        if not leadership.lost.is_set():
            await self._save_checkpoint()

    async def _follow(self) -> None:
        """Note every event; pause while too much is due."""
        batches = self._follower.batches(self._last)
        try:
            async for batch in batches:
                for event in batch.events:
                    while self._watchlist.full:
                        self._room.clear()
                        await self._room.wait()
                    self._watchlist.note(event, self._clock())
                    self._last = event.position
                self._work.set()
        finally:
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()

    async def _tick(self) -> None:
        """Let time pass for what waits: silence, pauses, the checkpoint. Apart from `_follow`, which may be paused."""
        saved_s = self._clock()
        while True:
            await asyncio.sleep(self._limits.tick_s)
            self._watchlist.tick(self._clock())
            self._work.set()
            PENDING.labels(self._follower.log).set(len(self._watchlist))
            if self._clock() - saved_s >= self._limits.checkpoint_s:
                saved_s = self._clock()
                await self._save_checkpoint()

    async def _worker(self) -> None:
        while not self._stopping:
            order = self._watchlist.take()
            if order is None:
                self._work.clear()
                await self._work.wait()
                continue
            await self._work_on(order)
            self._room.set()

    async def _work_on(self, order: Order) -> None:
        job = Job(self._follower.log, self._store, self._summariser, self._limits.job, order, self._append)
        started = self._clock()
        outcome = "failed"
        result: JobResult | None = None
        with structlog.contextvars.bound_contextvars(
            log=self._follower.log,
            position=order.position,
            session_id=order.session_id,
            reason=order.reason.value,
        ):
            try:
                try:
                    result = await job.run()
                    if self._announce is not None and (result.made or result.ended):
                        await self._announce()
                    outcome = result.ended or ("summarised" if result.made else "nothing")
                except StoreError:
                    raise
                except Exception as error:
                    _log.error("compression_failed", **_named(error))
                    if order.task is not None:
                        await job.fail(order.task, error)
            except StoreError as error:
                _log.warning("compression_put_off", error=type(error).__name__)
                JOBS.labels(order.reason.value, "put_off").inc()
                self._watchlist.put_off(order, self._clock() + self._limits.retry_s * random.uniform(0.5, 1.5))
                return
        self._watchlist.done(order, result.left if result else None, self._clock())
        JOBS.labels(order.reason.value, outcome).inc()
        if outcome in ("failed", "skipped"):
            COMPRESSION_SECONDS.labels(outcome, "none").observe(self._clock() - started)

    async def _save_checkpoint(self) -> None:
        position = self._watchlist.safe_position(self._last)
        if position <= self._saved:
            return
        try:
            await self._store.save_checkpoint(self._follower.log, CONSUMER, position)
        except StoreError as error:
            _log.warning("checkpoint_not_saved", log=self._follower.log, position=position, error=type(error).__name__)
            return
        self._saved = position

    def _fresh(self) -> Watchlist:
        return Watchlist(self._limits.job.plan.policy, self._limits.watch)


def _named(error: BaseException) -> dict[str, str]:
    """An error for the log: its type and place. Its message is left out, for it may quote what people stored."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return {"error": type(error).__name__, "at": place}


async def _ended(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel what is not done, and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
