"""One running system for the tests of all framework adapters."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from system import System


@pytest.fixture(scope="session")
def turnlog_url() -> Iterator[str]:
    """The address of a running `turnlog up`."""
    folder = Path(tempfile.mkdtemp(prefix="turnlog-frameworks-"))
    running = System(folder / "data").start()
    yield running.url
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)
