"""Database migrations: forward only, raw SQL, safe to run from many processes at once.

`turnlog migrate` and every start-up call `migrate`; an advisory lock lets one of them do the work. All revisions of
one run commit together or not at all.
"""

from dataclasses import dataclass

import asyncpg

from turnlog_migrations.transaction import VERSION_TABLE, SchemaTransaction, schema_transaction, scripts

CONNECT_TIMEOUT_S = 10.0


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
    head = scripts().get_current_head()
    assert head is not None, "the package holds migrations"
    return head


def knows(revision: str) -> bool:
    """Whether this release has the migrations up to a revision."""
    return any(script.revision == revision for script in scripts().walk_revisions())


async def migrate(dsn: str, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> Migrated:
    """Bring the database at `dsn` (its owner's connection) to the newest schema.

    Raises `SchemaTooNew`, `SchemaBusy`, or what asyncpg raises when the server cannot be reached. Safe to repeat.
    """
    try:
        async with schema_transaction(dsn, connect_timeout_s) as schema:
            before = await schema.revision()
            if before is not None and not knows(before):
                raise SchemaTooNew(before, latest())
            if before != latest():
                await schema.upgrade()
            return Migrated(before, latest())
    except asyncpg.LockNotAvailableError as error:
        raise SchemaBusy from error


__all__ = [
    "CONNECT_TIMEOUT_S",
    "VERSION_TABLE",
    "Migrated",
    "SchemaBusy",
    "SchemaTooNew",
    "SchemaTransaction",
    "knows",
    "latest",
    "migrate",
    "schema_transaction",
]
