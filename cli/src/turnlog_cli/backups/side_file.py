"""A file that appears whole or not at all: written beside its place, flushed to the disk, then given its name.

The side file is `NAME.part`, locked while it is written. One that a kill left behind is written over by the next run;
one that another run writes right now is not touched.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from turnlog_cli.backups.errors import BackupError

PRIVATE = 0o600


@contextmanager
def side_file(target: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Write `target` (0600) through the file that is yielded. Raises `BackupError` when it exists (without `force`),
    cannot be written or the disk is full; then, and when the block raises, nothing is left behind."""
    _check(target, force=force)
    side = target.with_name(target.name + ".part")
    try:
        with _locked(side) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                _name(side, target, force=force)
            except BaseException:
                side.unlink(missing_ok=True)
                raise
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise BackupError(f"{target}: no room for it there ({error.strerror}); nothing was left behind") from None
        raise BackupError(f"{target} cannot be written: {error.strerror}") from None


def _check(target: Path, *, force: bool) -> None:
    if target.exists() and not target.is_file():
        raise BackupError(f"{target} is no file: name one, or - for standard output")
    if target.exists() and not force:
        raise _taken(target)
    if not target.parent.is_dir():
        raise BackupError(f"{target} cannot be written: there is no folder {target.parent}")


def _taken(target: Path) -> BackupError:
    return BackupError(f"{target} exists: choose another name, or overwrite it with --force")


@contextmanager
def _locked(side: Path) -> Iterator[BinaryIO]:
    """The side file, ours alone and empty."""
    while True:
        fd = os.open(side, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(fd, "wb") as file:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(f"another backup is being written to {side} right now") from None
            if not _is_still(side, fd):
                continue  # whoever held the lock has just given the file its name: that one is finished
            os.fchmod(fd, PRIVATE)
            os.ftruncate(fd, 0)
            yield file
            return


def _is_still(side: Path, fd: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(side.stat(), os.fstat(fd))
    return False


def _name(side: Path, target: Path, *, force: bool) -> None:
    if force:
        side.replace(target)
        return
    try:
        os.link(side, target)  # unlike a rename it never takes the place of a file that has come up meanwhile
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # a file system without links
        side.rename(target)
        return
    side.unlink()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
