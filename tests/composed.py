"""deploy/compose.yml as Docker Compose itself reads it: the real program, which needs no engine for that."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "deploy" / "compose.yml"


@cache
def program() -> tuple[str, ...]:
    """How Compose is started: as Docker's plugin, or the one that is installed with the tests. Skips without either."""
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ("docker", "compose")
    installed = Path(sys.executable).with_name("docker-compose")
    if not installed.exists():
        pytest.skip("there is no Docker Compose for this platform among the tests' tools")
    return (str(installed),)


def config(*files: Path, profiles: str = "*", environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole model, with every default written out. Fails with what Compose says of a file that is wrong."""
    named = [argument for file in files or (FILE,) for argument in ("-f", str(file))]
    done = subprocess.run(
        [*program(), *named, "--profile", profiles, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    model: dict[str, Any] = json.loads(done.stdout)
    return model
