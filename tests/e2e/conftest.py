"""One running system with the conversations in it, shared by the end-to-end tests."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from system import System

# Taken out of the environment: whoever reads settings in this process would find a variable that nothing knows.
GIVEN = os.environ.pop("TURNLOG_TEST_CONVERSATIONS", "")
NEARBY = Path(__file__).parents[3] / "shared" / "data" / "locomo-public.jsonl"


@dataclass(frozen=True)
class Conversations:
    """The conversations under test, in import format."""

    path: Path
    source: str

    @cached_property
    def turns(self) -> list[dict[str, Any]]:
        """Every line."""
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n") if line]

    @cached_property
    def by_session(self) -> dict[str, list[dict[str, Any]]]:
        """The lines of each session, in order."""
        found: dict[str, list[dict[str, Any]]] = {}
        for turn in self.turns:
            found.setdefault(turn["session_id"], []).append(turn)
        return found


def chosen() -> Conversations:
    """Those named by TURNLOG_TEST_CONVERSATIONS, else real ones nearby, else our sample."""
    if GIVEN:
        return Conversations(Path(GIVEN), "TURNLOG_TEST_CONVERSATIONS")
    if NEARBY.exists():
        return Conversations(NEARBY, "real conversations")
    sample = resources.files("turnlog_cli").joinpath("sample.jsonl")
    return Conversations(Path(str(sample)), "the built-in sample; no real conversations here")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = chosen()
    terminalreporter.write_line(f"end-to-end tests ran on {found.path.name} ({found.source})")


@pytest.fixture(scope="session")
def conversations() -> Conversations:
    return chosen()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A short path: unix sockets are in it."""
    made = Path(tempfile.mkdtemp(prefix="turnlog-e2e-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def system(folder: Path) -> Iterator[System]:
    """`turnlog up`, running; a test that ends it starts it again."""
    running = System(folder / "data").start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def imported(system: System, conversations: Conversations) -> dict[str, Any]:
    """The report of the first import."""
    done = system.run("import", str(conversations.path), "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture
def loaded(system: System, imported: dict[str, Any]) -> System:
    """The system with all conversations in it."""
    return system
