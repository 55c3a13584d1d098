"""Where there is a Docker engine: every image built, the whole of compose.yml started, used through the gateway, and
taken away again. Elsewhere skipped, with the reason."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from composed import FILE, ROOT, program
from gateway_run import free_port

BUILD_S, UP_S = 1_500, 300
PARTS = ("ingest", "query", "projector", "compressor", "mcp", "cli")
IMAGE_MAX_MB = {"cli": 600}
"""What an image may measure, the base included; for the others 400."""

pytestmark = pytest.mark.timeout(BUILD_S + UP_S)


class Stack:
    """A compose project of its own: other name, port and secrets than anybody's real one."""

    def __init__(self, folder: Path) -> None:
        self.name, self.port = f"turnlog-test-{uuid.uuid4().hex[:8]}", free_port()
        secrets = folder / "secrets"
        subprocess.run([ROOT / "deploy" / "secrets.sh", secrets], check=True, capture_output=True)
        made = {file.name: {"file": str(file)} for file in secrets.iterdir()}
        made.pop("nats_password")
        made.pop("redis_password")
        self.override = folder / "override.json"
        self.override.write_text(json.dumps({"secrets": made}))

    def __call__(self, *arguments: str, timeout_s: float = UP_S) -> str:
        """Run a command of Compose; what it printed. Fails with its words."""
        command = [*program(), "-p", self.name, "-f", str(FILE), "-f", str(self.override), *arguments]
        chosen = {"GATEWAY_PORT": str(self.port), "IMAGE_PREFIX": self.name, "IMAGE_TAG": "test"}
        done = subprocess.run(
            command, env=os.environ | chosen, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything built and healthy."""
    if shutil.which("docker") is None:
        pytest.skip("Docker is not installed: no image was built, no container started")
    if subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("no Docker engine answers (`docker info`): no image was built, no container started")
    running = Stack(tmp_path_factory.mktemp("compose"))
    try:
        running("--profile", "tools", "build", timeout_s=BUILD_S)
        running("up", "--detach", "--wait", "--wait-timeout", str(UP_S - 30))
        yield running
    finally:
        running("--profile", "*", "down", "--volumes", "--rmi", "local", "--timeout", "20")


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_small_and_says_what_it_is(part: str, stack: Stack) -> None:
    told = subprocess.run(
        ["docker", "image", "inspect", f"{stack.name}-{part}:test"], capture_output=True, text=True, check=True
    )
    [image] = json.loads(told.stdout)
    assert image["Size"] < IMAGE_MAX_MB.get(part, 400) << 20
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Labels"]["org.opencontainers.image.title"] == "Turnlog"


def test_a_turn_goes_through_the_gateway_and_comes_back(stack: Stack) -> None:
    made = stack("run", "--rm", "cli", "keys", "create", "--tenant", "acme", "--json")
    key = json.loads(made)["key"]
    with httpx.Client(
        base_url=f"http://127.0.0.1:{stack.port}", headers={"authorization": f"Bearer {key}"}, timeout=30
    ) as client:
        stored = client.post("/v1/sessions/s/turns", json={"role": "user", "content": "hello"})
        assert stored.status_code == 201, stored.text
        read = client.get("/v1/sessions/s/turns", params={"min_version": stored.json()["version"]})
        assert [turn["content"] for turn in read.json()["turns"]] == ["hello"]
        assert client.get("/readyz").json()["status"] == "ok"
        assert client.get("/metrics").status_code == 404
        assert client.get("/openapi.json").json()["paths"]["/v1/sessions/{session_id}/turns"].keys() >= {"get", "post"}


def test_two_of_ingest_and_query_run_and_all_are_healthy(stack: Stack) -> None:
    lines = [json.loads(line) for line in stack("ps", "--format", "json").splitlines()]
    health = [(line["Service"], line["Health"]) for line in lines]
    assert [name for name, _ in health].count("ingest") == [name for name, _ in health].count("query") == 2
    assert {state for _, state in health} == {"healthy"}


def test_what_may_not_be_written_cannot_be(stack: Stack) -> None:
    said = stack("exec", "--no-TTY", "ingest", "sh", "-c", "id -u; touch /app/x 2>&1; touch /tmp/x && echo fine")
    assert said.splitlines()[0] == "10001"
    assert "Read-only file system" in said
    assert said.splitlines()[-1] == "fine"
