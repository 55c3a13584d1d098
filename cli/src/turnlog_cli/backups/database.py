"""The database to back up or to restore into: the one given by address, the one of a running `turnlog up`, or the
embedded one of a data folder in which nothing runs, started for as long as it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from turnlog_cli import addresses
from turnlog_cli.errors import CommandError
from turnlog_embedded import ServerSpec, start
from turnlog_runtime.settings import SharedSettings


@asynccontextmanager
async def owner_database(settings: SharedSettings, data_dir: Path, *, make: bool = False) -> AsyncIterator[str]:
    """The address of the database as the schema's owner. With `make` a data folder that holds none gets an empty one.

    Raises `CommandError`, or the errors of turnlog_embedded.
    """
    given = settings.database_owner_url or settings.database_url
    if (given is not None and given.get_secret_value()) or addresses.running_in(data_dir) is not None:
        yield addresses.owner_url(settings, data_dir)
        return
    if not make and not (data_dir.expanduser() / "postgres" / "PG_VERSION").exists():
        raise CommandError(
            f"there is no database: the data folder {data_dir} holds none; set DATABASE_URL (or "
            "TURNLOG_DATABASE_OWNER_URL, as the schema's owner), or name the folder with --data-dir"
        )
    servers = await start(data_dir, ServerSpec(nats=False, valkey=False))
    try:
        yield servers.postgres_dsn
    finally:
        await servers.stop()
