"""What can go wrong with embedded servers, and what to do about it.

    EmbeddedError
    ├── FolderInUse      another process holds the data folder
    ├── FolderNotOurs    the data folder belongs to another user
    ├── ForeignMajor     the cluster was made by another PostgreSQL major version
    ├── BinaryMissing    no executable for a server
    ├── ServerFailed     a server did not come up (or did not go away)
    └── NotServed        asked for the address of a server that was not to be started

None is worth retrying unchanged: each message says what to change.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


class EmbeddedError(RuntimeError):
    """Root of this library's errors."""


class FolderInUse(EmbeddedError):
    """Another process holds the data folder; a fact is None where its note could not be read."""

    def __init__(
        self, pid: int | None, started_at: datetime | None, port: int | None, *, folder: Path | None = None
    ) -> None:
        self.pid, self.started_at, self.port, self.folder = pid, started_at, port, folder
        who = f"process {pid}" if pid else "another process"
        since = f" since {started_at:%Y-%m-%d %H:%M:%S %Z}" if started_at else ""
        at = f", serving http://127.0.0.1:{port}" if port else ""
        use = f"use it at http://127.0.0.1:{port}, " if port else ""
        end = f"stop it (kill {pid})" if pid else "stop it"
        where = f" {folder}" if folder else ""
        super().__init__(f"data folder{where} is in use by {who}{since}{at}: {use}{end}, or choose another data folder")


class FolderNotOurs(EmbeddedError):
    """The data folder, or something in it, belongs to another user than the one who starts the servers."""

    def __init__(self, folder: Path, owner_uid: int, our_uid: int) -> None:
        self.folder, self.owner_uid, self.our_uid = folder, owner_uid, our_uid
        super().__init__(
            f"{folder} belongs to user id {owner_uid}, and this process runs as user id {our_uid}: "
            f"start as that user, give the folder away (chown -R {our_uid} {folder}), "
            "or choose another data folder"
        )


class ForeignMajor(EmbeddedError):
    """The cluster in the folder and the PostgreSQL at hand differ in major version."""

    def __init__(self, found: int, have: int) -> None:
        self.found, self.have = found, have
        super().__init__(
            f"the data folder was made by PostgreSQL {found}, and PostgreSQL {have} is installed: "
            f"nothing was touched. Point TURNLOG_POSTGRES_BIN at the bin folder of a PostgreSQL {found} "
            f"to go on as before; or, to move, dump with it (pg_dumpall) and restore into a new data folder "
            f"with {have}"
        )


class BinaryMissing(EmbeddedError):
    """No executable of a server was found in any of the places looked at."""

    def __init__(self, name: str, looked: Sequence[str], remedy: str) -> None:
        self.name, self.looked = name, tuple(looked)
        super().__init__(f"no {name} executable (looked at {', '.join(looked)}): {remedy}")


class ServerFailed(EmbeddedError):
    """A server did not come up, or an earlier one did not go away; `log_tail` is the end of its log."""

    def __init__(
        self, name: str, log_tail: str, *, reason: str = "did not start", log_path: Path | None = None
    ) -> None:
        self.name, self.log_tail, self.reason = name, log_tail, reason
        lines = [f"{name} {reason}: {_advice(log_tail, log_path)}"]
        if log_tail:
            lines.append(f"its log ends with:\n{log_tail}")
        super().__init__("\n".join(lines))


class NotServed(EmbeddedError):
    """The address of a server that was left out of the spec was asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} is not among the embedded servers here: it was to be given by URL")


_ADVICE = (
    ("No space left on device", "the disk is full: free some space and start again"),
    (
        "could not look up effective user",
        "PostgreSQL needs the running user to have a name: add it to /etc/passwd",
    ),
    ("Permission denied", "a file is closed to the user the server runs as: check who owns the data folder"),
    ("could not map anonymous shared memory", "memory is short: close something, or lower shared_buffers"),
    ("could not resize shared memory", "shared memory is too small: enlarge it (docker run --shm-size=256m)"),
    ("Too many open files", "raise the limit of open files (ulimit -n 4096)"),
    ("could not locate a valid checkpoint record", "the cluster is damaged: restore it from a backup"),
    ("invalid page in block", "the cluster is damaged: restore it from a backup"),
    (
        "database files are incompatible",
        "the cluster was made by another build: use the PostgreSQL that made it",
    ),
    ("lock file", "another server runs on this folder: stop it first"),
    ("ddress already in use", "another process took its port: start again"),
    ("DB with RDB version", "the snapshot is of a newer server: remove the valkey folder, it is rebuilt"),
    ("error loading", "the snapshot cannot be read: remove the valkey folder, it is rebuilt"),
)


def _advice(log_tail: str, log_path: Path | None) -> str:
    for sign, advice in _ADVICE:
        if sign.lower() in log_tail.lower():
            return advice
    return f"see {log_path}" if log_path else "see its log"
