"""One task for each log of the deployment, begun when the log is first seen: how services work on several logs."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from turnlog_eventstore.errors import StoreError
from turnlog_eventstore.store import Store
from turnlog_eventstore.waiting import passed

AGAIN_S = 1.0
AGAIN_MAX_S = 30.0
AWAY_S = 1.0
END_S = 10.0
_log = structlog.get_logger()
Run = Callable[[str], Coroutine[Any, Any, None]]


async def each_log(
    store: Store, only: frozenset[str], run: Run, stop: asyncio.Event, look_s: float = 5.0, end_s: float = END_S
) -> None:
    """Run `run(log)` for every log (of those in `only`, unless that is empty) until `stop` is set.

    New logs are looked for every `look_s` seconds, and PostgreSQL may be away. A run that fails is begun again after a
    pause; one that returns is over. Once `stop` is set the runs are expected to end by themselves; those that have not
    after `end_s` seconds are cancelled.
    """
    runs: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            found = await _names(store)
            for log in found or ():
                if log not in runs and (not only or log in only):
                    runs[log] = tasks.create_task(kept_running(log, run, stop))
            await passed(stop, look_s if found is not None else AWAY_S)
        if runs:
            _, late = await asyncio.wait(runs.values(), timeout=end_s)
            for task in late:
                task.cancel()


async def _names(store: Store) -> list[str] | None:
    """The names of all logs; None while PostgreSQL does not tell."""
    try:
        return await store.logs()
    except StoreError as error:
        _log.warning("logs_unknown", cause=type(error).__name__)
        return None


async def kept_running(log: str, run: Run, stop: asyncio.Event) -> None:
    """Run `run(log)` until it returns, or until `stop` is set; one that fails is begun again after a pause, which grows
    from failure to failure unless much time lies between them."""
    pause_s = AGAIN_S
    while not stop.is_set():
        began = time.monotonic()
        try:
            await run(log)
            return
        except Exception as error:  # the outermost loop of a log's worker: whatever it was, begin again
            if time.monotonic() - began > AGAIN_MAX_S:
                pause_s = AGAIN_S
            ours = type(error).__module__.startswith("turnlog_")  # what others say may hold content
            detail = str(error) if ours else None
            _log.warning("log_worker_failed", log=log, cause=type(error).__name__, detail=detail, pause_s=pause_s)
        await passed(stop, pause_s * random.uniform(0.5, 1.0))
        pause_s = min(pause_s * 2, AGAIN_MAX_S)
