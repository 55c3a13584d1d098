"""The whole API as a process of its own on the real servers: what `turnlog up` runs."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import RealServers
from making import new_log
from rolling import Replica


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
    log = await new_log(servers.owner_dsn)
    environment = {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_DATABASE_CONNECTIONS": "4",
    }
    folder = Path(tempfile.mkdtemp(prefix="turnlog-door-"))
    replica = Replica("turnlog_cli.api", environment, folder / "api.log")
    try:
        await replica.start()
        yield Door(replica.port, replica.url, log, replica)
    finally:
        await replica.kill()
        shutil.rmtree(folder, ignore_errors=True)
