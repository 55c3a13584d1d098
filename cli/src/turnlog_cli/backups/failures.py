"""What PostgreSQL may answer to a backup or a restore, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from turnlog_cli.backups.errors import BackupError
from turnlog_migrations import CONNECT_TIMEOUT_S

NO_ROOM = ("53100", "53200")


@contextmanager
def told_as(done: str) -> Iterator[None]:
    """Turn what asyncpg raises into `BackupError`; `done` is what was to be done. OSErrors of files pass."""
    try:
        yield
    except BackupError:
        raise
    except asyncpg.PostgresError as error:
        raise _of(error, done) from error
    except (TimeoutError, asyncpg.InterfaceError, ConnectionError) as error:
        raise _away(error, done) from error


async def connected(dsn: str, name: str) -> "asyncpg.Connection[Any]":
    """A connection to PostgreSQL, called `name` there. Raises `BackupError` when there is none to be had."""
    try:
        return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": name})
    except (OSError, TimeoutError) as error:
        raise _away(error, "done") from error


def _of(error: BaseException, done: str) -> BackupError:
    state = getattr(error, "sqlstate", None) or ""
    if state in NO_ROOM:
        return BackupError(f"PostgreSQL has no room left ({error}): nothing was {done}")
    if state.startswith(("08", "57")):
        return _away(error, done)
    if state == "55P03":
        return BackupError(f"a table is in use ({error}): nothing was {done}; try again when that is done")
    if state == "42501":
        return BackupError(f"{error}: this needs the schema's owner (TURNLOG_DATABASE_OWNER_URL); nothing was {done}")
    return BackupError(f"PostgreSQL refused ({error}): nothing was {done}")


def _away(error: BaseException, done: str) -> BackupError:
    return BackupError(
        f"PostgreSQL cannot be reached, or went away ({str(error) or 'time-out'}): nothing was {done}; "
        "check DATABASE_URL"
    )
