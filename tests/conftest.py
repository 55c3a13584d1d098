"""Fixtures for all tests: real PostgreSQL, NATS and Valkey, one set a run.

`--servers embedded` (default) starts them from wheels in a temporary folder; `--servers urls` takes the addresses in
DATABASE_URL (an owner), NATS_URL and REDIS_URL; `--servers containers` starts them with testcontainers.
Tests do not meet: each takes a log of its own (`log_name`) and fresh session ids.

Settings made in this process ask for no credentials unless a test says so (`TURNLOG_AUTH`); the tests of access do.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from making import new_log
from turnlog_embedded import Servers, start
from turnlog_eventstore import Store
from turnlog_migrations import migrate

os.environ["TURNLOG_AUTH"] = "off"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell. What the tests start would take over that nobody interrupts it, and they do.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class RealServers:
    """Addresses of the servers under test; `embedded` controls them where the tests started them."""

    owner_dsn: str
    dsn: str
    nats_url: str
    redis_url: str
    embedded: Servers | None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers", choices=["embedded", "urls", "containers"], default="embedded")


@pytest.fixture(scope="session")
async def servers(request: pytest.FixtureRequest) -> AsyncIterator[RealServers]:
    """Running, migrated servers."""
    kind = request.config.getoption("--servers")
    if kind == "urls":
        found = _from_environment()
        await migrate(found.owner_dsn)
        yield found
    elif kind == "containers":
        from containers import running_containers

        with running_containers() as found:
            await migrate(found.owner_dsn)
            yield found
    else:
        folder = Path(tempfile.mkdtemp(prefix="turnlog-tests-"))
        running = await start(folder / "data")
        try:
            await migrate(running.postgres_dsn)
            yield RealServers(
                running.postgres_dsn, running.postgres_app_dsn, running.nats_url, running.redis_url, running
            )
        finally:
            await running.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _from_environment() -> RealServers:
    urls = [os.environ.get(name, "") for name in ("DATABASE_URL", "NATS_URL", "REDIS_URL")]
    if not all(urls):
        pytest.exit("--servers urls needs DATABASE_URL, NATS_URL and REDIS_URL", returncode=2)
    return RealServers(urls[0], urls[0], urls[1], urls[2], None)


@pytest.fixture
def dsn(servers: RealServers) -> str:
    """PostgreSQL as the application role."""
    return servers.dsn


@pytest.fixture
def owner_dsn(servers: RealServers) -> str:
    """PostgreSQL as the schema's owner, a superuser."""
    return servers.owner_dsn


@pytest.fixture
def nats_url(servers: RealServers) -> str:
    return servers.nats_url


@pytest.fixture
def redis_url(servers: RealServers) -> str:
    return servers.redis_url


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[Store]:
    """A store on the application role."""
    opened = await Store.open(dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def log_name(owner_dsn: str) -> str:
    """A fresh, empty log."""
    return await new_log(owner_dsn)


@pytest.fixture
def tenant() -> str:
    """A fresh tenant."""
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def session_id() -> str:
    """A fresh session id."""
    return f"s-{uuid.uuid4().hex[:12]}"
