"""One process of ours that is kept running: started, started again with growing pauses when it ends, stopped.

Called by `stack.py`, from the main thread's event loop only: Linux ends a process when the *thread* that started it
ends.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from turnlog_cli.metrics_folder import left

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
STEADY_S = 20.0  # one that ran so long begins again with the first pause
LOG_KEPT_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 2_000
_FRAME = " \t|+-"
Say = Callable[..., None]


@dataclass(frozen=True)
class Order:
    """What to run: a module of ours with its environment. Its output goes to `log`, or with None to our stderr."""

    name: str
    module: str
    environment: Mapping[str, str]
    log: Path | None


class Worker:
    """A process that is kept running until `stop`."""

    def __init__(self, order: Order, say: Say) -> None:
        self.order = order
        self.starts = 0
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The running process, or None between two."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def keep(self) -> None:
        """Run it until `stop` is called, again and again if need be."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = await self._start()
            status = await self._process.wait()
            left(self.order.name, self.order.environment)
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - began > STEADY_S else failures
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(failures, 20), LONGEST_PAUSE_S)
            failures += 1
            self._say("died", name=self.order.name, status=status, pause_s=pause_s, last_words=self.last_words())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def retire(self) -> None:
        """From now on it is not started again."""
        self._stopping.set()

    async def stop(self, deadline_s: float) -> None:
        """Ask it to end, and kill it at the deadline."""
        self.retire()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), deadline_s)
        except TimeoutError:
            self._say("killed", name=self.order.name, after_s=deadline_s)
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        """What it wrote last since its start, if that is an error: a line that is no log line, or the event of one at
        level error; else empty."""
        if self.order.log is None:
            return ""
        with self.order.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        said = [words for line in lines if (words := line.strip(_FRAME))]  # a group's traceback has a frame of lines
        return _error_in(said[-1]) if said else ""

    async def _start(self) -> asyncio.subprocess.Process:
        self.starts += 1
        log_fd = self._open_log()
        stdin = asyncio.subprocess.DEVNULL if sys.platform == "linux" else asyncio.subprocess.PIPE
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "turnlog_cli.launch", str(os.getpid()), self.order.name, self.order.module),
                stdin=stdin,
                stdout=log_fd,
                stderr=log_fd,
                env=dict(self.order.environment),
                start_new_session=True,  # Ctrl-C in the terminal reaches only us
            )
        finally:
            if self.order.log is not None:
                os.close(log_fd)

    def _open_log(self) -> int:
        path = self.order.log
        if path is None:
            return sys.stderr.fileno()
        if path.exists() and path.stat().st_size > LOG_KEPT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._log_start = os.fstat(fd).st_size
        return fd


def _error_in(line: str) -> str:
    """An error told by a line of a log; a line of JSON that tells of none is no last word."""
    try:
        fields = json.loads(line)
        return str(fields["event"]) if fields["level"] in ("error", "critical") else ""
    except (ValueError, LookupError, TypeError):
        return line
