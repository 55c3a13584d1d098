"""The OpenAPI document is true: schemathesis calls every route of the running API with what the document allows and
what it forbids, and holds each answer to it. No chance is in it, so that a run finds what the last one found."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).parents[1]
EVENTS = "/v1/sessions/{session_id}/events"
CALLS = {
    ("/tools/get_compressed_memory", "post"),
    ("/tools/get_recent_turns", "post"),
    ("/tools/store_memory", "post"),
    ("/v1/logs/{log}", "get"),
    ("/v1/logs/{log}/events", "get"),
    ("/v1/sessions", "get"),
    ("/v1/sessions/{session_id}", "get"),
    ("/v1/sessions/{session_id}/compress", "post"),
    ("/v1/sessions/{session_id}/context", "get"),
    (EVENTS, "get"),
    ("/v1/sessions/{session_id}/summary", "get"),
    ("/v1/sessions/{session_id}/turns", "delete"),
    ("/v1/sessions/{session_id}/turns", "get"),
    ("/v1/sessions/{session_id}/turns", "post"),
    ("/v1/tasks/{task_id}", "get"),
    ("/v1/turns", "post"),
}


async def schemathesis(url: str, folder: Path, *options: str, examples: int) -> tuple[int, str]:
    """A run over the document at `url`: exit status and report. What it writes goes to `folder`."""
    command = (sys.executable, "-m", "schemathesis.cli", f"--config-file={TESTS}/schemathesis.toml", "run")
    words = (f"{url}/openapi.json", "--checks=all", "--no-color", f"--max-examples={examples}", "--request-timeout=10")
    running = await asyncio.create_subprocess_exec(
        *(*command, *words, "--continue-on-failure", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"},
    )
    report, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, report.decode()


async def test_every_answer_is_as_the_document_says(keyed_door: Any, tmp_path: Path) -> None:
    door, key = keyed_door
    shown = f"--header=Authorization: Bearer {key}"
    # Live events of a session that exists have no end, so their route is asked first: then there is no session yet.
    for options, examples in ((f"--include-path={EVENTS}", 8), (f"--exclude-path={EVENTS}", 5)):
        status, report = await schemathesis(door.url, tmp_path, shown, options, examples=examples)
        assert status == 0, report


async def test_the_document_names_every_call_with_examples_and_errors(door: Any) -> None:
    async with httpx.AsyncClient() as http:
        document = (await http.get(f"{door.url}/openapi.json")).json()
    assert {(path, method) for path, item in document["paths"].items() for method in item} == CALLS
    for path, method in CALLS:
        operation = document["paths"][path][method]
        assert operation["summary"]
        for status, answer in operation["responses"].items():
            assert answer["headers"]["request-id"], (path, status)
            for content in answer.get("content", {}).values():
                assert content.get("schema"), (path, status)
                assert content.get("example") or content.get("examples"), (path, status)
        assert {"400", "408", "422", "431", "500", "503"} <= operation["responses"].keys()
        body = operation.get("requestBody")
        assert body is None or all(content["example"] for content in body["content"].values())
