"""The write API over HTTP on real servers: what is stored, what is refused and how, and that nothing is stored then."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from turnlog_bus import Bus
from turnlog_eventstore import Store
from turnlog_ingest.service import ingest
from turnlog_runtime.settings import IngestSettings


@dataclass(frozen=True)
class Api:
    """A client of the write API on a log of its own."""

    http: httpx.AsyncClient
    store: Store
    log: str
    session: str

    async def post(self, body: Any, session: str | None = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = f"/v1/sessions/{session or self.session}/turns"
        return await self.http.post(path, content=content, headers=headers)

    async def stored(self) -> int:
        return (await self.store.head(self.log)).position


@pytest.fixture
async def api(store: Store, nats_url: str, log_name: str, session_id: str) -> AsyncIterator[Api]:
    bus = Bus(nats_url)
    settings = IngestSettings(log=log_name, logs=log_name, body_max_bytes=1_000_000)
    async with ingest(store, bus, settings) as app:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Api(http, store, log_name, session_id)
    await bus.close()


TURN = {"role": "user", "content": "My flight is on Friday."}


async def test_a_turn_is_answered_with_its_place(api: Api) -> None:
    answer = await api.post({**TURN, "turn_id": "t-1"})
    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("recorded_at").endswith("Z")
    assert body == {"turn_id": "t-1", "log": api.log, "position": 1, "version": 1, "duplicate": False}
    assert answer.headers["request-id"]


async def test_the_same_turn_again_is_a_duplicate_however_its_json_is_written(api: Api) -> None:
    first = (await api.post({**TURN, "turn_id": "t-1", "metadata": {"b": 1, "a": 1.0}})).json()
    spaced = (
        b'{"metadata": {"a":1, "b":1.0}, "turn_id":"t-1", "content":"My flight is on Friday.",'
        b' "role":"user", "name":null}'
    )
    again = (await api.post(spaced)).json()
    assert again == {**first, "duplicate": True}
    assert await api.stored() == 1


async def test_idempotency_key_stands_for_turn_ids(api: Api) -> None:
    one = await api.post(TURN, **{"Idempotency-Key": "k"})
    many = await api.post({"turns": [TURN, TURN]}, **{"Idempotency-Key": "k"})
    assert one.json()["turn_id"] == "k"
    assert [t["turn_id"] for t in many.json()["turns"]] == ["k#1", "k#2"]
    again = await api.post({"turns": [TURN, TURN]}, **{"Idempotency-Key": "k"})
    assert [t["duplicate"] for t in again.json()["turns"]] == [True, True]
    assert await api.stored() == 3


async def test_concurrent_sends_of_one_turn_store_it_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.post({**TURN, "turn_id": "same"}) for _ in range(12)))
    assert {a.status_code for a in answers} == {201}
    assert sorted(a.json()["duplicate"] for a in answers) == [False] + [True] * 11
    assert {a.json()["position"] for a in answers} == {1}


async def test_same_id_with_another_body_is_409_and_stores_nothing(api: Api) -> None:
    await api.post({**TURN, "turn_id": "t-1"})
    answer = await api.post({"turns": [{**TURN, "turn_id": "t-2"}, {**TURN, "content": "other", "turn_id": "t-1"}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "turn_id_conflict")
    twice = await api.post({"turns": [{**TURN, "turn_id": "t-3"}, {**TURN, "turn_id": "t-3"}]})
    assert (twice.status_code, twice.json()["error"]["code"]) == (409, "turn_id_twice")
    assert await api.stored() == 1


async def test_if_match_lets_one_of_two_writers_win(api: Api) -> None:
    await api.post(TURN)
    won = await api.post(TURN, **{"If-Match": '"v1"'})
    lost = await api.post(TURN, **{"If-Match": '"v1.s0"'})
    assert won.status_code == 201
    assert (lost.status_code, lost.json()["error"]["code"], lost.headers["etag"]) == (412, "version_mismatch", '"v2"')
    assert await api.stored() == 2


DEEP = b'{"role":"user","content":"x","metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
BAD: dict[str, tuple[bytes | dict[str, Any], int, str, str | None]] = {
    "no body": (b"", 400, "malformed_json", "body"),
    "not JSON": (b"{", 400, "malformed_json", "body"),
    "a list": (b"[]", 422, "wrong_type", "body"),
    "a text": (b'"hello"', 422, "wrong_type", "body"),
    "no role": ({"content": "x"}, 422, "missing_field", "role"),
    "no content": ({"role": "user"}, 422, "missing_field", "content"),
    "foreign role": ({**TURN, "role": "root"}, 422, "invalid_field", "role"),
    "unknown field": ({**TURN, "tenant": "x"}, 422, "unknown_field", "tenant"),
    "empty content": ({**TURN, "content": ""}, 422, "empty_content", "content"),
    "content number": ({**TURN, "content": 5}, 422, "wrong_type", "content"),
    "content parts untyped": ({**TURN, "content": [{"text": "x"}]}, 422, "invalid_field", "content"),
    "no parts": ({**TURN, "content": []}, 422, "invalid_field", "content"),
    "NUL": (b'{"role":"user","content":"a\\u0000b"}', 422, "nul_character", "content"),
    "NUL in key": (b'{"role":"user","content":"x","metadata":{"a\\u0000":1}}', 422, "nul_character", "metadata"),
    "lone surrogate": (b'{"role":"user","content":"\\ud800"}', 422, "lone_surrogate", "content"),
    "NaN": (b'{"role":"user","content":"x","metadata":{"a":NaN}}', 422, "not_finite", "body"),
    "1e999": (b'{"role":"user","content":"x","metadata":{"a":1e999}}', 422, "not_finite", "body"),
    "huge integer": ({**TURN, "metadata": {"a": 2**53}}, 422, "integer_range", "metadata.a"),
    "duplicate key": (b'{"role":"user","role":"tool","content":"x"}', 422, "duplicate_key", "role"),
    "UTF-16": (json.dumps(TURN).encode("utf-16"), 415, "unsupported_encoding", "body"),
    "deep": (DEEP, 400, "nesting_too_deep", "body"),
    "5,000 digits": (
        b'{"role":"user","content":"x","metadata":{"a":' + b"1" * 5000 + b"}}",
        400,
        "integer_too_long",
        "body",
    ),
    "bad turn id": ({**TURN, "turn_id": "a/b"}, 422, "invalid_id", "turn_id"),
    "bad agent id": ({**TURN, "agent_id": "*"}, 422, "invalid_id", "agent_id"),
    "bad user id": ({**TURN, "user_id": "a\r\nb"}, 422, "invalid_id", "user_id"),
    "bad time": ({**TURN, "occurred_at": "yesterday"}, 422, "invalid_field", "occurred_at"),
    "time without offset": ({**TURN, "occurred_at": "2026-01-01T00:00:00"}, 422, "invalid_field", "occurred_at"),
    "metadata list": ({**TURN, "metadata": []}, 422, "wrong_type", "metadata"),
    "large metadata": ({**TURN, "metadata": {"a": "x" * 17_000}}, 422, "metadata_too_large", "metadata"),
    "large turn": ({**TURN, "content": "x" * 262_144}, 422, "turn_too_large", "body"),
    "large body": ({**TURN, "content": "x" * 1_000_001}, 413, "body_too_large", "body"),
    "no turns": ({"turns": []}, 422, "turns_count", "turns"),
    "too many turns": ({"turns": [TURN] * 1001}, 422, "turns_count", "turns"),
    "wrong turn of many": ({"turns": [TURN, {"role": "user"}]}, 422, "missing_field", "turns.1.content"),
    "field beside turns": ({"turns": [TURN], "x": 1}, 422, "unknown_field", "x"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_a_clear_error_and_stores_nothing(api: Api, case: str) -> None:
    body, status, code, param = BAD[case]
    answer = await api.post(body)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    error = problem["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), problem
    assert problem["status"] == status
    assert problem["detail"] == error["message"]
    assert set(error) == {"type", "message", "code", "param"}
    assert await api.stored() == 0


@pytest.mark.parametrize("session", ["..", ".", "a b", "a*", "%00", "x" * 201, "~evil", "a>b", "%7B%7D"])
async def test_bad_session_ids_are_refused(api: Api, session: str) -> None:
    answer = await api.http.post(f"/v1/sessions/{session.replace('..', '%2E%2E')}/turns", json=TURN)
    assert answer.status_code in (404, 422), answer.text
    assert answer.status_code == 404 or answer.json()["error"]["param"] == "session_id"
    assert await api.stored() == 0


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        ({"Idempotency-Key": "a b"}, "Idempotency-Key"),
        ({"Idempotency-Key": "x" * 201}, "Idempotency-Key"),
        ({"If-Match": "12"}, "If-Match"),
        ({"If-Match": '"v-1"'}, "If-Match"),
        ({"If-Match": "*"}, "If-Match"),
    ],
)
async def test_bad_headers_are_named(api: Api, headers: dict[str, str], param: str) -> None:
    answer = await api.post(TURN, **headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert await api.stored() == 0


async def test_compressed_bodies_are_refused(api: Api) -> None:
    answer = await api.post(TURN, **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")


async def test_a_body_over_the_limit_is_refused_while_it_is_read(api: Api) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 100_000
            yield b" " * 100_000

    answer = await api.http.post(f"/v1/sessions/{api.session}/turns", content=endless())
    assert answer.status_code == 413


async def test_a_load_reports_each_line_and_a_wrong_one_stops_nothing(api: Api) -> None:
    lines = [
        json.dumps({"session_id": "a", **TURN, "turn_id": "1"}),
        "{broken",
        json.dumps({"session_id": "b", **TURN, "turn_id": "1"}),
        json.dumps({**TURN}),
        json.dumps({"session_id": "a", "role": "user", "content": "x", "extra": 1}),
        json.dumps({"session_id": "a", **TURN, "turn_id": "1"}),
        json.dumps({"session_id": "a", **TURN, "content": "another", "turn_id": "1"}),
        "",
    ]
    answer = await api.http.post("/v1/turns", content="\n".join(lines).encode())
    assert answer.status_code == 200
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [(r["line"], r["status"]) for r in results] == [
        (1, "stored"), (2, "refused"), (3, "stored"), (4, "refused"), (5, "refused"), (6, "duplicate"), (7, "refused"),
    ]  # fmt: skip
    errors = {r["line"]: (r["error"]["code"], r["error"]["param"]) for r in results if r["status"] == "refused"}
    assert errors == {
        2: ("malformed_json", "line"),
        4: ("missing_field", "session_id"),
        5: ("unknown_field", "extra"),
        7: ("turn_id_conflict", "turn_id"),
    }
    assert await api.stored() == 2


async def test_a_load_keeps_the_order_of_each_session(api: Api) -> None:
    lines = [
        json.dumps({"session_id": f"{api.session}-{n % 3}", "role": "user", "content": str(n)}) for n in range(2500)
    ]
    answer = await api.http.post("/v1/turns", content="\n".join(lines).encode())
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [r["line"] for r in results] == list(range(1, 2501))
    for session in range(3):
        versions = [r["version"] for r in results if (r["line"] - 1) % 3 == session]
        assert versions == list(range(1, len(versions) + 1))


async def test_a_load_with_too_many_lines_is_413(api: Api) -> None:
    answer = await api.http.post("/v1/turns", content=b"{}\n" * 10_001)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_lines")


async def test_a_retraction_is_an_event_and_needs_versions_that_exist(api: Api) -> None:
    await api.post({"turns": [TURN, TURN, TURN]})
    path = f"/v1/sessions/{api.session}/turns"
    done = await api.http.delete(f"{path}?from_version=2&to_version=3&reason=wrong", headers={"Idempotency-Key": "r"})
    again = await api.http.delete(f"{path}?from_version=2&to_version=3&reason=wrong", headers={"Idempotency-Key": "r"})
    assert (done.status_code, done.json()["position"], done.json()["duplicate"]) == (200, 4, False)
    assert again.json() == {**done.json(), "duplicate": True}
    for query, status in [
        ("from_version=2&to_version=4", 409),
        ("from_version=3&to_version=2", 422),
        ("from_version=0&to_version=2", 422),
        ("from_version=1", 422),
        ("from_version=1&to_version=1&all=1", 422),
        ("from_version=x&to_version=1", 422),
    ]:
        assert (await api.http.delete(f"{path}?{query}")).status_code == status, query
    absent = await api.http.delete("/v1/sessions/absent/turns?from_version=1&to_version=1")
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "session_not_found")
    assert await api.stored() == 4


async def test_a_compression_request_is_an_event_with_a_task_id(api: Api) -> None:
    absent = await api.http.post("/v1/sessions/absent/compress")
    assert absent.status_code == 404
    await api.post(TURN)
    answer = await api.http.post(f"/v1/sessions/{api.session}/compress")
    assert answer.status_code == 202
    events = await api.store.task_events("default", answer.json()["task_id"])
    assert [e.type for e in events] == ["CompressionRequested"]


async def test_a_compression_asked_for_again_is_the_same_task_though_the_session_has_grown(api: Api) -> None:
    await api.post(TURN)
    path, key = f"/v1/sessions/{api.session}/compress", {"Idempotency-Key": f"task-{api.session}"}
    first = await api.http.post(path, headers=key)
    await api.post(TURN)
    again = await api.http.post(path, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())


async def test_store_memory_keeps_an_agents_messages_in_its_own_session(api: Api) -> None:
    agent = f"agent-{api.session}"
    answer = await api.http.post("/tools/store_memory", json={"agent_id": agent, "message": "Ana flies on Friday."})
    assert answer.status_code == 200
    assert answer.json()["stored"] is True
    turns = await api.store.turns("default", f"~agent.{agent}", limit=5)
    assert [(t.key, json.loads(t.payload)["content"]) for t in turns] == [
        (answer.json()["memory_id"], "Ana flies on Friday.")
    ]
    bad = await api.http.post("/tools/store_memory", json={"agent_id": agent, "message": "x", "tenant": "y"})
    assert (bad.status_code, bad.json()["error"]["param"]) == (422, "tenant")


async def test_unknown_routes_and_methods_have_the_one_error_form(api: Api) -> None:
    missing = await api.http.get("/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "route_not_found")
    wrong = await api.http.put(f"/v1/sessions/{api.session}/turns")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_openapi_names_every_write(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/v1/sessions/{session_id}/turns",
        "/v1/turns",
        "/v1/sessions/{session_id}/compress",
        "/tools/store_memory",
    }
