"""Databases of their own on the servers under test, empty or at the schema of an earlier release."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg

from conftest import RealServers
from turnlog_migrations import CONNECT_TIMEOUT_S, schema_transaction


@dataclass(frozen=True)
class Database:
    """Its addresses, as the application role and as the schema's owner."""

    dsn: str
    owner_dsn: str


@asynccontextmanager
async def own_database(servers: RealServers) -> AsyncIterator[Database]:
    """An empty one, dropped at the end."""
    name = f"turnlog_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(servers.owner_dsn)
    try:
        await owner.execute(f"create database {name}")
        yield Database(*(urlsplit(dsn)._replace(path=f"/{name}").geturl() for dsn in (servers.dsn, servers.owner_dsn)))
        await owner.execute(f"drop database {name} with (force)")
    finally:
        await owner.close()


async def migrate_to(owner_dsn: str, revision: str) -> None:
    """The schema of an earlier release."""
    async with schema_transaction(owner_dsn, CONNECT_TIMEOUT_S) as schema:
        await schema.upgrade(revision)
