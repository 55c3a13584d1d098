"""A running system, as the protocol's own tools see it: the official conformance suite and the Inspector."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import npm
from speaking import HANDSHAKE, MODERN
from system import System

NOT_APPLICABLE = Path(__file__).parent / "mcp" / "not-applicable.yml"
PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"
RUN_S = 120
PASSING = {
    HANDSHAKE: {
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "completion-complete",
        "tools-list",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    },
    MODERN: {
        "completion-complete",
        "tools-list",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
        "caching",
        "http-header-validation",
        "sep-2164-resource-not-found",
        "server-sse-multiple-streams",
        "input-required-result-unsupported-methods",
        "input-required-result-validate-input",
    },
}
"""Scenarios that must run and pass whole, by version."""


@pytest.mark.parametrize("version", [HANDSHAKE, MODERN])
def test_the_official_conformance_suite_finds_what_is_expected(system: System, tmp_path: Path, version: str) -> None:
    """Fails when a scenario fails that is not listed as not applicable, and when a listed one passes."""
    words = ["server", "--url", f"{system.url}/mcp", "--suite", "all", "--spec-version", version]
    words += ["--expected-failures", str(NOT_APPLICABLE), "--output-dir", str(tmp_path)]
    suite = npm.command("@modelcontextprotocol/conformance", "dist/index.js")
    done = subprocess.run([*suite, *words], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr
    passed = set(re.findall(r"^✓ ([\w-]+): \d+ passed, 0 failed$", done.stdout, re.MULTILINE))
    assert passed >= PASSING[version]


@pytest.mark.parametrize("version", [HANDSHAKE, MODERN])
def test_the_page_names_what_passes(version: str) -> None:
    [row] = re.findall(rf"^\| {version} \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", row)) - {"server-stateless"} == PASSING[version]


def inspector(system: System, method: str, *words: str) -> dict[str, Any]:
    """What the Inspector's command line prints of a method's result."""
    tool = npm.command("@modelcontextprotocol/inspector", "clients/launcher/build/index.js")
    command = [*tool, "--cli", f"{system.url}/mcp", "--transport", "http", "--method", method, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_inspector_drives_it(system: System) -> None:
    tools = inspector(system, "tools/list", "--strict")["tools"]
    assert len(tools) == 5
    turn = ["session_id=inspected", "message=A window seat, please.", "turn_id=t-1"]
    words = ["--tool-name", "store_memory", "--tool-arg", *turn]
    stored = inspector(system, "tools/call", *words)["structuredContent"]
    again = inspector(system, "tools/call", *words)["structuredContent"]
    assert again == stored | {"duplicate": True}
    read = inspector(system, "resources/read", "--uri", "turnlog://sessions/inspected/turns")
    assert "A window seat, please." in read["contents"][0]["text"]
    prompt = ["--prompt-name", "recall_session", "--prompt-args", "session_id=inspected"]
    assert len(inspector(system, "prompts/get", *prompt)["messages"]) == 2
