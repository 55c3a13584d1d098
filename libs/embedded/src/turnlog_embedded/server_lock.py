"""One living server per data: a lock that, unlike the holder's, children do inherit.

The server process keeps the lock file open as long as it or a child of it lives, so "is the old one really
gone?" has an exact answer even after its parent was killed. Asking the pid was rejected: pids are given
again.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

from turnlog_embedded.errors import ServerFailed

LEAVE_S = 30.0  # an orphan has got its stop signal already; PostgreSQL may still write a checkpoint
PATIENCE_S = 20.0  # then it is stopped hard
MERCY_S = 25.0  # then killed: a paused process hears nothing else
POLL_S = 0.02


async def lock_server(name: str, path: Path, *, hard_signal: int) -> int:
    """Wait until no earlier server runs on the data; return the locked descriptor, for the caller to close.

    To be called only by the holder of the data folder: after 20 s an earlier server is sent `hard_signal`, after 25 s
    SIGKILL, and after 30 s ServerFailed is raised.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        await _wait_for(fd, name, hard_signal)
    except BaseException:
        os.close(fd)
        raise
    return fd


def note_pid(fd: int, pid: int) -> None:
    """Record who is about to be the only holder of the lock; the note stays when it has gone."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(pid).encode(), 0)


def last_pid(path: Path) -> int | None:
    """The process that held the lock last: with the lock in hand, one that has gone for certain."""
    return _number(path.read_bytes())


async def _wait_for(fd: int, name: str, hard_signal: int) -> None:
    began = time.monotonic()
    due = [(PATIENCE_S, hard_signal), (MERCY_S, signal.SIGKILL)]
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waited_s = time.monotonic() - began
        if waited_s > LEAVE_S:
            raise ServerFailed(name, "", reason=f"is still running from an earlier start (process {_pid(fd)}); stop it")
        if due and waited_s > due[0][0]:
            _hurry(_pid(fd), due.pop(0)[1])
        await asyncio.sleep(POLL_S)


def _hurry(pid: int | None, hard_signal: int) -> None:
    """Signal the earlier server; only a session leader, as ours all are: a pid given again seldom is."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid is not None and os.getsid(pid) == pid:
            os.kill(pid, hard_signal)


def _pid(fd: int) -> int | None:
    return _number(os.pread(fd, 32, 0))


def _number(noted: bytes) -> int | None:
    return int(noted) if noted.isdigit() else None
