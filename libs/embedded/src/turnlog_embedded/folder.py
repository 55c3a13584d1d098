"""The data folder's layout, and the private files in it.

| name                       | what                                                                    |
| -------------------------- | ----------------------------------------------------------------------- |
| holder.lock                | who holds the folder                                                    |
| postgres/  nats/  valkey/  | one server's data each                                                  |
| run/                       | settings, locks and sockets, made anew at each start; and NATS' secret  |
| logs/                      | one log a server                                                        |
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from turnlog_embedded.account import Account, account_for
from turnlog_embedded.errors import EmbeddedError, FolderNotOurs
from turnlog_embedded.hold import LOCK_NAME

POSTGRES_SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103  # sockaddr_un.sun_path, less its closing zero
PRIVATE = 0o700
SHORT_TEMPORARY = Path("/tmp")  # noqa: S108 (what is made there is private, and checked)
LOG_KEPT_BYTES = 16 * 1024 * 1024
LOG_TAIL_BYTES = 4000
LOG_TAIL_LINES = 25


@dataclass(frozen=True)
class Folder:
    """The paths of one data folder; `account` is whom its files belong to when we are root."""

    root: Path
    sockets: Path
    account: Account | None

    @property
    def run(self) -> Path:
        """Settings, secrets and locks."""
        return self.root / "run"

    def data(self, name: str) -> Path:
        """A server's data; it may be wiped while that server is stopped."""
        return self.root / name

    def log(self, name: str) -> Path:
        """A server's log."""
        return self.root / "logs" / f"{name}.log"

    def lock(self, name: str) -> Path:
        """The lock that a server holds as long as it lives."""
        return self.run / f"{name}.lock"

    def make(self, path: Path) -> Path:
        """Make a private folder (0700), belonging to whom the servers run as."""
        path.mkdir(mode=PRIVATE, exist_ok=True)
        self.give(path)
        return path

    def make_file(self, path: Path) -> Path:
        """Make an empty private file (0600) if there is none, belonging to whom the servers run as."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Hand a path of ours to the account, when we are root."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def write(self, path: Path, text: str) -> Path:
        """Write a private file (0600), whole or not at all."""
        side = path.with_name(path.name + ".new")
        side.unlink(missing_ok=True)
        fd = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        self.give(side)
        side.replace(path)
        return path

    def forget_sockets(self) -> None:
        """Remove the sockets' folder if it is not in the data folder; when all servers have stopped."""
        if self.sockets != self.run:
            wipe(self.sockets)

    def log_tail(self, name: str, since_bytes: int = 0) -> str:
        """The last lines a server wrote to its log, not before `since_bytes`."""
        try:
            with self.log(name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(since_bytes, size - LOG_TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])


def lay_out(data_dir: Path) -> Folder:
    """Make what is missing of a data folder that we hold, and say where things are.

    Raises FolderNotOurs when it belongs to another user (and we are not root).
    """
    root = data_dir.expanduser().resolve()
    account = account_for(root)
    folder = Folder(root, _sockets_for(root, account), account)
    if account is not None and not (root / "run").exists() and _only_the_lock(root):
        folder.give(root)  # a folder that we have just made; one that was there before is left as it is
    for name in ("run", "logs"):
        place = folder.make(root / name)
        if account is None and place.stat().st_uid != os.geteuid():
            raise FolderNotOurs(place, place.stat().st_uid, os.geteuid())
    folder.give(root / LOCK_NAME)
    return folder


def keep_log_small(path: Path) -> None:
    """Set a log that has grown large aside; one older log is kept."""
    if path.exists() and path.stat().st_size > LOG_KEPT_BYTES:
        path.replace(path.with_suffix(".log.1"))


def wipe(path: Path) -> None:
    """Remove a folder of ours and all it holds, if it is there."""
    if path.exists():
        shutil.rmtree(path)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _only_the_lock(root: Path) -> bool:
    return {entry.name for entry in root.iterdir()} <= {LOCK_NAME}


def _sockets_for(root: Path, account: Account | None) -> Path:
    """Where sockets go: `run/`, or a short private folder under the temporary one when that path is too long.

    A comma sends them away as well: PostgreSQL and its clients read it as a list of hosts.
    """
    if _fits(root / "run") and "," not in str(root):
        return root / "run"
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    for temporary in (Path(tempfile.gettempdir()), SHORT_TEMPORARY):
        path = temporary / f"turnlog-{mark}"
        if _fits(path):
            return _private(path, account)
    raise EmbeddedError(f"no path short enough for a unix socket: {root} and {tempfile.gettempdir()} are too long")


def _fits(place: Path) -> bool:
    return len(os.fsencode(place / POSTGRES_SOCKET)) <= SOCKET_PATH_BYTES


def _private(path: Path, account: Account | None) -> Path:
    """Make a folder where everybody may write, trusting nothing that is already there."""
    ours = account.uid if account else os.geteuid()
    try:
        path.mkdir(mode=PRIVATE)
        if account is not None:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != ours or stat.S_IMODE(found.st_mode) != PRIVATE:
            raise EmbeddedError(f"{path} is not a private folder of ours: remove it") from None
    return path
