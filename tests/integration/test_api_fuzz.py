"""Whatever comes as a body, a path, a query or a header: an answer below 500, in the one form when it is an error."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wire import Answer, ask, request

FUZZED = settings(
    max_examples=150, derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
WRITES = ["/v1/sessions/fuzz/turns", "/v1/sessions/fuzz/compress", "/v1/turns", "/tools/store_memory"]
POSTS = [*WRITES, "/tools/get_recent_turns", "/tools/get_compressed_memory"]
GETS = [
    "/v1/sessions", "/v1/sessions/fuzz", "/v1/sessions/fuzz/turns", "/v1/sessions/fuzz/summary", "/v1/tasks/t",
    "/v1/sessions/fuzz/context", "/v1/logs/main", "/v1/logs/main/events", "/nothing",
]  # fmt: skip
NAMES = [
    "limit", "cursor", "agent_id", "user_id", "min_version", "wait_ms", "before_version", "after_version",
    "max_tokens", "format", "after", "from_version", "to_version", "reason", "",
]  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["user", "a", "\0"])
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
fields = st.sampled_from(
    ["role", "content", "name", "agent_id", "user_id", "metadata", "occurred_at", "turn_id", "tool_calls",
     "tool_call_id", "turns", "session_id", "message", "memory_id", "limit", "x"]
)  # fmt: skip
texts = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(["0", "-1", "1e9", "9" * 40, "%", "v1"])
fuzzed_bytes = st.binary(max_size=200)
paths = st.lists(st.sampled_from(["v1", "sessions", "turns", "logs", "tools", "tasks", "~agent.a", "..", ""]) | texts)


def held(answer: Answer) -> None:
    """Never our fault, and in the one form."""
    assert 200 <= answer.status < 500, answer
    assert answer.header("request-id")
    if answer.status >= 400:
        answer.problem()


@FUZZED
@given(path=st.sampled_from(POSTS), body=fuzzed_bytes)
async def test_any_bytes_as_a_body(door: Any, path: str, body: bytes) -> None:
    held(await ask(door.port, request("POST", path, body=body)))


@FUZZED
@given(path=st.sampled_from(POSTS), body=st.dictionaries(fields, values, max_size=6) | values)
async def test_any_json_as_a_body(door: Any, path: str, body: Any) -> None:
    held(await ask(door.port, request("POST", path, body=json.dumps(body).encode())))


@FUZZED
@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"]),
    parts=paths,
    query=st.lists(st.tuples(st.sampled_from(NAMES) | texts, texts), max_size=4),
)
async def test_any_path_and_query(door: Any, method: str, parts: list[str], query: list[tuple[str, str]]) -> None:
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    held(await ask(door.port, request(method, path + "?" + "&".join(f"{quote(k)}={quote(v)}" for k, v in query))))


@FUZZED
@given(path=st.sampled_from(GETS), query=st.binary(max_size=60))
async def test_any_bytes_as_a_query(door: Any, path: str, query: bytes) -> None:
    held(await ask(door.port, request("GET", f"{path}?{query.decode('latin-1')}")))


@FUZZED
@given(
    name=st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key", "traceparent", "X-Request-Id", "Accept",
                          "Content-Type", "Last-Event-ID", "Authorization", "Range", "Cookie"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
)  # fmt: skip
async def test_any_header(door: Any, name: str, value: str) -> None:
    for method, path in (("POST", "/v1/sessions/fuzz/turns"), ("GET", "/v1/sessions/fuzz/turns"), ("GET", "/livez")):
        held(await ask(door.port, request(method, path, f"{name}: {value}", body=b"" if method == "POST" else None)))


@FUZZED
@given(sent=fuzzed_bytes)
async def test_any_bytes_at_all(door: Any, sent: bytes) -> None:
    answer = await ask(door.port, b"\x01" + sent + b"\r\n\r\n")
    held(answer)
    assert answer.status == 400
