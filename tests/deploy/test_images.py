"""The images: the Dockerfile as hadolint sees it, what goes into a build, the health check against a real server."""

import asyncio
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway_run import ROOT, free_port
from turnlog_runtime.health import Check, Health, nothing
from turnlog_runtime.lifecycle import serving

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
READY = ROOT / "deploy" / "ready.py"
PARTS = ("ingest", "query", "projector", "compressor", "mcp", "cli")


@pytest.fixture(scope="module")
def stages() -> dict[str, str]:
    """The text of each stage by its name."""
    found = re.split(r"^FROM (\S+) AS ([\w-]+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    return {found[i + 1]: f"FROM {found[i]}\n{found[i + 2]}" for i in range(1, len(found), 3)}


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("there is no hadolint for this platform among the tests' tools")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("part", PARTS)
def test_an_image_holds_its_own_member_from_the_lock(part: str, stages: dict[str, str]) -> None:
    syncs = re.findall(r"uv sync ([^&]+?)(?=\n\S|\Z)", stages[f"{part}-built"])
    assert len(syncs) == 2
    for sync in syncs:
        words = sync.replace("\\\n", " ").split()
        assert {"--locked", "--no-dev"} <= set(words)
        assert words[words.index("--package") + 1] == f"turnlog-{part}"
    assert f"COPY --from={part}-built /app/venv /app/venv" in stages[part]


@pytest.mark.parametrize("part", PARTS)
def test_an_image_runs_as_nobody_in_particular(part: str, stages: dict[str, str]) -> None:
    text, stage = "", part
    while stage in stages:
        text = stages[stage] + text
        stage = stages[stage].split()[1]
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users[-1] == "10001:10001"
    assert stage == "${PYTHON_IMAGE}"
    assert ("HEALTHCHECK" in text) == (part != "cli")
    for label in ("title", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text


def test_uv_is_the_one_that_the_lock_was_made_for() -> None:
    pinned = re.search(r"^ARG UV_VERSION=(\d+)\.(\d+)\.\d+$", DOCKERFILE.read_text(), re.MULTILINE)
    assert pinned is not None
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+$", DOCKERFILE.read_text(), re.MULTILINE)


def test_a_build_takes_every_member_and_nothing_else() -> None:
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    members = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    # The lock names all members, so all of them must be there to be counted; of the bench only that it exists.
    assert taken == {member.removesuffix("/*") for member in members} - {"bench"} | {
        "bench/pyproject.toml",
        "pyproject.toml",
        "uv.lock",
        "LICENSE",
        "deploy/ready.py",
    }
    for path in taken:
        assert (ROOT / path).exists()


async def _asked(port: int) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", READY, str(port), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, said.decode()


async def test_the_health_check_tells_ready_from_away_and_leaving() -> None:
    away, leaving = asyncio.Event(), asyncio.Event()

    async def database() -> None:
        if away.is_set():
            raise ConnectionError

    port = free_port()
    async with serving(Health(nothing, {"postgres": Check(database)}, leaving), "127.0.0.1", port, 1):
        assert await _asked(port) == (0, "")
        away.set()
        code, said = await _asked(port)
        assert (code, '"postgres":"away"' in said) == (1, True)
        leaving.set()
        code, said = await _asked(port)
        assert (code, "draining" in said) == (1, True)
    code, said = await _asked(port)
    assert code == 1
    assert said.startswith(f"no answer from 127.0.0.1:{port}")
