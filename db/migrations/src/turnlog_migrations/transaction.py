"""One transaction in which the schema may be brought to a revision, and other things done with it.

`migrate` is such a transaction with one upgrade in it. A restore makes the schema of the backup, loads the rows, and
upgrades: all of it or nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

VERSION_TABLE = "turnlog_schema_version"
HEAD = "head"
_LOCK = 0x7475_726E_6C6F_6731  # "turnlog1"


class SchemaTransaction:
    """Made by `schema_transaction`; of use until that ends."""

    def __init__(self, connection: AsyncConnection, driver: "asyncpg.Connection[Any]") -> None:
        self._connection = connection
        self.driver = driver

    async def revision(self) -> str | None:
        """The schema's revision now; None where there is no schema of ours."""
        return await self._connection.run_sync(_revision)

    async def upgrade(self, revision: str = HEAD) -> None:
        """Bring the schema up to a revision this release knows."""
        await self._connection.run_sync(_upgrade, revision)


@asynccontextmanager
async def schema_transaction(dsn: str, connect_timeout_s: float) -> AsyncIterator[SchemaTransaction]:
    """A transaction on the owner's connection, under the lock that lets one migration (or restore) run at a time.

    `driver` of what is yielded is the connection itself. Commits at the end, and changes nothing when the block
    raises. Raises what asyncpg raises.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(dsn, timeout=connect_timeout_s),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            yield SchemaTransaction(connection, driver)
    except DBAPIError as error:
        cause = getattr(error.orig, "__cause__", None)
        raise (cause if isinstance(cause, asyncpg.PostgresError) else error) from None
    finally:
        await engine.dispose()


def scripts() -> ScriptDirectory:
    """The migrations of this release."""
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _revision(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
