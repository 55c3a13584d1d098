"""Kills the process at its N-th crash point: a task factory that counts how often tasks suspend and resume.

Every await that really waits has two crash points. *Suspended*: the task has asked for something and waits; what it
wrote has left (asyncio's transports send at once), its answer was not seen. *Resumed*: the answer is there, the task
has not acted on it. Awaits that are answered at once never leave the process, so nothing can be seen between them.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

_OWN_CODE = ("/turnlog_", "/faults/steps/")
_exempt: ContextVar[bool] = ContextVar("exempt_from_the_killer", default=False)


class Killer:
    """Counts the crash points of an event loop's tasks and kills at one of them: at the N-th, or where a certain line
    (see `line_of`) is first reached. With neither, the places are noted. `told` hears of the place first."""

    def __init__(self, kill_at: int | None, told: Callable[[str], None], kill_line: str | None = None) -> None:
        self._kill_at, self._told, self._kill_line = kill_at, told, kill_line
        self.places: list[str] = []
        self.reached = 0

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on the tasks that the loop makes are counted."""
        loop.set_task_factory(self._make)  # type: ignore[arg-type]

    def _make(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> "asyncio.Task[Any]":
        counted = coroutine if _exempt.get() else _Counted(coroutine, self)
        return asyncio.Task(counted, loop=loop, **options)

    def at(self, moment: str, coroutine: Any) -> None:
        """A crash point is reached."""
        self.reached += 1
        if self._kill_at is not None and self.reached != self._kill_at:
            return
        place = f"{moment} {place_of(coroutine)}"
        if self._kill_at is not None or line_of(place) == self._kill_line:
            self._told(place)
            os.kill(os.getpid(), signal.SIGKILL)
        self.places.append(place)


class _Counted(Coroutine[Any, Any, Any]):
    """A task's coroutine, whose suspensions and resumptions are told to the killer."""

    def __init__(self, coroutine: Any, killer: Killer) -> None:
        self._coroutine, self._killer = coroutine, killer
        self._suspended = False

    def send(self, value: Any) -> Any:
        return self._step(self._coroutine.send, value)

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> Any:
        # With one argument: the signature of three is deprecated from Python 3.12 on.
        return self._step(self._coroutine.throw, kind if value is None else value)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()  # type: ignore[no-any-return]

    def _step(self, go_on: Callable[[Any], Any], value: Any) -> Any:
        if self._suspended:
            self._killer.at("resumed", self._coroutine)
        self._suspended = False
        waited_for = go_on(value)
        self._suspended = True
        self._killer.at("suspended", self._coroutine)
        return waited_for


@contextmanager
def exempt() -> Iterator[None]:
    """Tasks made inside, and those that they make, are not counted: they only look on."""
    token = _exempt.set(True)
    try:
        yield
    finally:
        _exempt.reset(token)


def place_of(coroutine: Any) -> str:
    """Where a suspended coroutine is: the task's own function, and the innermost line of our code that it waits in."""
    task = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    found = ""
    while coroutine is not None:
        frame = _first(coroutine, "cr_frame", "ag_frame", "gi_frame")
        name = frame.f_code.co_filename if frame is not None else ""
        if frame is not None and any(part in name for part in _OWN_CODE):
            found = f"{'/'.join(name.split('/')[-2:])}:{frame.f_lineno}"
        coroutine = _first(coroutine, "cr_await", "ag_await", "gi_yieldfrom")
    return f"{found or 'elsewhere'} in {task}"


def line_of(place: str) -> str:
    """The moment and the line of a place, whichever task it was (where no line is ours: the task)."""
    line, _, _ = place.partition(" in ")
    return place if line.endswith("elsewhere") else line


def _first(thing: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)
