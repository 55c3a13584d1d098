"""The OpenAPI document is true: schemathesis calls every route of the running API with what the document allows and
what it forbids, and holds each answer to it. Seeded, so that a run finds what the last one found."""

import asyncio
import os
import sys
from typing import Any

import httpx

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


async def schemathesis(url: str, *options: str, examples: int) -> tuple[int, str]:
    """A run over the document at `url`: exit status and report."""
    words = ("-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--checks=all", "--no-color", *options)
    fixed = ("--seed=7", "--generation-deterministic", "--generation-database=none", f"--max-examples={examples}")
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, *words, *fixed, "--request-timeout=10", "--continue-on-failure"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    report, _ = await running.communicate()
    assert running.returncode is not None
    return running.returncode, report.decode()


async def test_every_answer_is_as_the_document_says(door: Any) -> None:
    # Live events of a session that exists have no end, so their route is asked first: then there is no session yet.
    for options, examples in ((f"--include-path={EVENTS}", 10), (f"--exclude-path={EVENTS}", 8)):
        status, report = await schemathesis(door.url, options, examples=examples)
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
