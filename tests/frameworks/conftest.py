"""One running system for the tests of the client's pages and of all framework adapters."""

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from system import System
from turnlog_client import AsyncClient, Client


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """`turnlog up` in a folder of its own; a short path, for unix sockets are in it."""
    folder = Path(tempfile.mkdtemp(prefix="turnlog-fw-"))
    running = System(folder / "data").start()
    yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def turnlog_url(system: System) -> str:
    """The address of the running `turnlog up`."""
    return system.url


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with Client(system.url) as opened:
        yield opened


@pytest.fixture
async def aclient(system: System) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(system.url) as opened:
        yield opened


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"n-{uuid.uuid4().hex[:12]}"
