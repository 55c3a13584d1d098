"""Which account the servers run as when we are root.

PostgreSQL refuses to run as root, so root's servers run as an ordinary account that already exists. The
wheel's own answer (add a system user, open every folder on the way to everybody) was rejected: it leaves a
user behind and makes /root readable. Here nothing outside the data folder is changed; where the way to the
folder or to an executable is closed to the account, the servers keep one capability (CAP_DAC_OVERRIDE) that
lets them pass.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_NAMES = ("turnlog", "postgres", "nobody")  # the first that exists


@dataclass(frozen=True)
class Account:
    """An ordinary user that root's servers run as."""

    name: str
    uid: int
    gid: int


def account_for(data_dir: Path) -> Account | None:
    """The account to run servers as, or None to run them as ourselves (we are not root).

    A folder that already belongs to an ordinary user keeps that user: what root starts once, its owner can go
    on using. Reads the file system only.
    """
    if os.geteuid() != 0:
        return None
    for path in (data_dir / "postgres", data_dir):
        if path.exists() and (uid := path.stat().st_uid) != 0:
            return _by_uid(uid, path.stat().st_gid)
    for name in ACCOUNT_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise LookupError(f"root needs an ordinary account to run servers as, one of {', '.join(ACCOUNT_NAMES)}")


def way_is_closed(account: Account, path: Path) -> bool:
    """Whether the account may not enter some folder on the way to `path` (by mode bits: no ACLs)."""
    target = path.resolve()
    ways = [*target.parents, target] if target.is_dir() else list(target.parents)
    return any(not _may_enter(account, way.stat()) for way in ways)


def _may_enter(account: Account, found: os.stat_result) -> bool:
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _by_uid(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
