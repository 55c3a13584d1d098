"""One holder per data folder.

In goes a folder, out comes an exclusive lock on it. The lock is the kernel's (`flock`), so it ends with the
process that took it, however that ends; the note in the file is only for people. A pid file alone was
rejected: it outlives a killed process, and its pid may since belong to another.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from turnlog_embedded.errors import FolderInUse, FolderNotOurs

LOCK_NAME = "holder.lock"
_held: dict[Path, "Holder"] = {}


class Holder:
    """The lock on one data folder; a context manager that frees it at the end."""

    def __init__(self, folder: Path, fd: int) -> None:
        self.folder = folder
        self._fd: int | None = fd
        self.started_at = datetime.now(UTC)
        self.port: int | None = None
        self.serving = False
        self._write()

    def note(self, *, port: int) -> None:
        """Record the HTTP port served from this folder, so that a second holder can be told where to go."""
        self.port = port
        self._write()

    def release(self) -> None:
        """Free the folder; a second call does nothing."""
        fd, self._fd = self._fd, None
        if fd is not None:
            _held.pop(self.folder, None)
            os.close(fd)

    def _write(self) -> None:
        if self._fd is None:
            return
        facts = {"pid": os.getpid(), "started_at": self.started_at.isoformat(), "port": self.port}
        note = json.dumps(facts).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, note, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def hold(data_dir: Path) -> Holder:
    """Take the exclusive lock on a data folder, making the folder (mode 0700) if it is missing.

    The lock is taken by the call itself; `with hold(folder) as holder:` frees it at the end. It is not
    inherited by child processes, neither spawned nor forked, so a killed holder frees it at once.

    Raises FolderInUse when another holder has it (also one in this process), FolderNotOurs when the folder is
    closed to this user.
    """
    folder = data_dir.expanduser().resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        raise _closed(folder) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            raise _in_use(folder, fd) from None
        finally:
            os.close(fd)
    holder = Holder(folder, fd)
    _held[folder] = holder
    return holder


def enter(data_dir: Path) -> Callable[[], None]:
    """Begin to serve from a folder: on this process's hold if it has one, else on a new one.

    Returns what ends it, leaving a hold that was there before. Raises FolderInUse when the folder is served
    already, also by this process: whoever serves may stop the servers of an earlier start.
    """
    before = _held.get(data_dir.expanduser().resolve())
    holder = before or hold(data_dir)
    if holder.serving:
        raise FolderInUse(os.getpid(), holder.started_at, holder.port, folder=holder.folder)
    holder.serving = True

    def leave() -> None:
        holder.serving = False
        if before is None:
            holder.release()

    return leave


def _closed(folder: Path) -> FolderNotOurs:
    for place in (folder / LOCK_NAME, folder, *folder.parents):
        with contextlib.suppress(OSError):
            if (owner := place.stat().st_uid) != os.geteuid():
                return FolderNotOurs(place, owner, os.geteuid())
    return FolderNotOurs(folder, os.geteuid(), os.geteuid())


def _in_use(folder: Path, fd: int) -> FolderInUse:
    try:
        facts = json.loads(os.pread(fd, 4096, 0))
        return FolderInUse(
            int(facts["pid"]), datetime.fromisoformat(facts["started_at"]), facts.get("port"), folder=folder
        )
    except (ValueError, KeyError, TypeError):  # read between the other's truncate and write
        return FolderInUse(None, None, None, folder=folder)


def _close_in_forked_child() -> None:
    """Close the inherited copies: close-on-exec does not cover a fork without exec (multiprocessing).

    Closing, not unlocking: an unlock would free the parent's lock too, as both share one open file.
    """
    for holder in _held.values():
        fd, holder._fd = holder._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_forked_child)
