"""Database migrations: forward only, raw SQL, safe to run from many processes at once.

`turnlog migrate` and every start-up call `migrate`; an advisory lock lets one of them do the work. All revisions of
one run commit together or not at all.
"""

from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_LOCK = 0x7475_726E_6C6F_6731  # "turnlog1"
_LOCK_NOT_AVAILABLE = "55P03"


class SchemaTooNew(Exception):
    """The database was migrated by a newer release than this one."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(f"the database is at schema {found}, this release knows up to {known}: run the newer release")
        self.found = found
        self.known = known


class SchemaBusy(Exception):
    """A table was in use for longer than a migration waits for it; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            "a table is in use by something that takes long (a backup, a long query), and waiting for it would hold up "
            "every request: nothing was changed; migrate again when it is done"
        )


@dataclass(frozen=True, slots=True)
class Migrated:
    """Schema revisions before (None: empty database) and after."""

    before: str | None
    after: str


def latest() -> str:
    """The newest schema revision this release knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "the package holds migrations"
    return head


async def migrate(dsn: str, connect_timeout_s: float = 10.0) -> Migrated:
    """Bring the database at `dsn` (its owner's connection) to the newest schema.

    Raises `SchemaTooNew`, `SchemaBusy`, or what asyncpg raises when the server cannot be reached. Safe to repeat.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(dsn, timeout=connect_timeout_s),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return await connection.run_sync(_upgrade)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            raise SchemaBusy from error
        raise
    finally:
        await engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _upgrade(connection: Connection) -> Migrated:
    config = _config()
    config.attributes["connection"] = connection
    context = MigrationContext.configure(connection, opts={"version_table": "turnlog_schema_version"})
    before = context.get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise SchemaTooNew(before, latest())
    if before != latest():
        command.upgrade(config, "head")
    return Migrated(before, latest())
