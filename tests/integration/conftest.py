"""The whole API as a process of its own on the real servers: what `turnlog up` runs."""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from admitting import new_key
from conftest import RealServers
from making import new_log
from rolling import Replica
from turnlog_runtime.principal import AUDIT, READ, WRITE

LIMITS = (
    "KEY_REQUESTS_PER_MINUTE",
    "TENANT_REQUESTS_PER_MINUTE",
    "KEY_TURNS_PER_MINUTE",
    "TENANT_TURNS_PER_MINUTE",
    "TENANT_COMPRESSIONS_PER_HOUR",
)


@dataclass(frozen=True)
class Door:
    """The running API on a log of its own."""

    port: int
    url: str
    log: str
    replica: Replica


@pytest.fixture(scope="session")
async def door(servers: RealServers) -> AsyncIterator[Door]:
    """The write and the read API on one port."""
    async with _running(servers) as found:
        yield found


@pytest.fixture
async def keyed_door(servers: RealServers) -> AsyncIterator[tuple[Door, str]]:
    """The same, asking for credentials and without limits, and an API key of a tenant of its own with all scopes."""
    tenant = f"tenant-{uuid.uuid4().hex[:12]}"
    key = await new_key(servers.owner_dsn, tenant, (WRITE, READ, AUDIT))
    without = {f"TURNLOG_LIMIT_{name}": "0" for name in LIMITS}
    async with _running(servers, TURNLOG_AUTH="required", **without) as found:
        yield found, key.credential


@asynccontextmanager
async def _running(servers: RealServers, **more: str) -> AsyncIterator[Door]:
    log = await new_log(servers.owner_dsn)
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
