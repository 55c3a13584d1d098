"""The whole API as a process of its own on the real servers: what `turnlog up` runs."""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from conftest import RealServers
from rolling import Replica

UNLIMITED = ("KEY_REQUESTS_PER_MINUTE", "TENANT_REQUESTS_PER_MINUTE", "TENANT_COMPRESSIONS_PER_HOUR")


@dataclass(frozen=True)
class Door:
    """The running API on a log of its own."""

    port: int
    url: str
    log: str
    replica: Replica


@asynccontextmanager
async def opened(servers: RealServers, **more: str) -> AsyncIterator[Door]:
    """The write and the read API on one port; `more` is added to its environment."""
    log = f"t-{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(servers.owner_dsn)
    await connection.execute("insert into turnlog.logs (log) values ($1)", log)
    await connection.close()
    environment = {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_DATABASE_CONNECTIONS": "4",
        **more,
    }
    folder = Path(tempfile.mkdtemp(prefix="turnlog-door-"))
    replica = Replica("turnlog_cli.api", environment, folder / "api.log")
    try:
        await replica.start()
        yield Door(replica.port, replica.url, log, replica)
    finally:
        await replica.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def door(servers: RealServers) -> AsyncIterator[Door]:
    """The API where everybody is let in."""
    async with opened(servers) as found:
        yield found


@pytest.fixture(scope="module")
async def guarded(servers: RealServers) -> AsyncIterator[Door]:
    """The API where each call shows a credential, of which no limit is used up by a test."""
    free = {f"TURNLOG_LIMIT_{name}": "0" for name in UNLIMITED}
    async with opened(servers, TURNLOG_AUTH="required", **free) as found:
        yield found
