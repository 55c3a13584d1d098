"""Effects computed by other processes: what an event does is found by counting its tokens, which is most of a
rebuild's work and needs nothing but the event.

Called by the rebuild. The processes take about a second to start, meanwhile it computes by itself.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from operator import attrgetter
from typing import Any

from turnlog_events import tokens
from turnlog_events.effects import effect_of
from turnlog_events.event import Event
from turnlog_projector.changes import Arguments
from turnlog_views.wire import effect_arguments

_row = attrgetter(*(field.name for field in fields(Event)))


def arguments_of(events: Sequence[Event]) -> list[Arguments]:
    """Each event's effect as arguments of `apply`; empty for one without an effect."""
    return [effect_arguments(event.position, effect_of(event)) for event in events]


class EffectPool:
    """Some processes that compute effects. Use as a context manager; leaving ends them."""

    def __init__(self, processes: int) -> None:
        # Started afresh, not forked: a fork would take this process' connections along.
        self._executor = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start)
        self.processes = processes
        self._started = self._executor.submit(os.getpid)

    @property
    def ready(self) -> bool:
        """Whether a process has started."""
        return self._started.done()

    def submit(self, events: Sequence[Event]) -> "asyncio.Future[list[Arguments]]":
        """`arguments_of` in one of the processes. Fails with `BrokenProcessPool` when one was killed."""
        # As plain tuples: they cross four times as fast as dataclasses.
        rows = [_row(event) for event in events]
        return asyncio.get_running_loop().run_in_executor(self._executor, _arguments_of_rows, rows)

    def __enter__(self) -> "EffectPool":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _arguments_of_rows(rows: Sequence[tuple[Any, ...]]) -> list[Arguments]:
    return arguments_of([Event(*row) for row in rows])


def _start() -> None:
    """In each process: the parent decides when to end, and its death is the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    tokens.load()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
