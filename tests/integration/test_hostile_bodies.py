"""Bodies that are no plain JSON, fields that break a limit, parameters out of range: on the write and the read API."""

import gzip
import json
from typing import Any

import pytest

from attacks import JSON, TURN, Attack, names, post_memory, post_turn
from querying import fresh
from wire import request


def turn_with(metadata: bytes) -> bytes:
    return b'{"role":"user","content":"x","metadata":{"a":' + metadata + b"}}"


def call_with(limit: bytes) -> bytes:
    return b'{"agent_id":"ann","limit":' + limit + b"}"


def both(name: str, value: bytes, status: int, code: str, param: str = "body") -> list[Attack]:
    """A JSON value inside a write's body, and inside a read's."""
    return [
        Attack(f"{name}, written", post_turn(turn_with(value)), status, code, param, closes=False),
        Attack(f"{name}, read", post_memory(call_with(value)), status, code, param, closes=False),
    ]


def whole(name: str, turn: bytes, call: bytes, status: int, code: str, param: str | None = "body") -> list[Attack]:
    """A whole body."""
    return [
        Attack(f"{name}, written", post_turn(turn), status, code, param),
        Attack(f"{name}, read", post_memory(call), status, code, param),
    ]


CALL = b'{"agent_id":"ann"}'
TURNS = "/v1/sessions/s/turns"
DEEP = b"[" * 100_000 + b"]" * 100_000
SHALLOWER = b"[" * 30_000 + b"]" * 30_000  # what a read takes at most is smaller
BOMB = gzip.compress(b" " * 50_000_000)
JSON_VALUES = [
    Attack("NUL in text", post_turn(b'{"role":"user","content":"a\\u0000b"}'), 422, "nul_character", "content"),
    Attack("NUL, read", post_memory(b'{"agent_id":"a\\u0000b"}'), 422, "invalid_id", "agent_id"),
    Attack("NUL in a key", post_turn(turn_with(b'{"a\\u0000":1}')), 422, "nul_character", "metadata.a"),
    Attack("NUL as a byte", post_turn(b'{"role":"user","content":"a\0b"}'), 400, "malformed_json", "body"),
    Attack("lone surrogate", post_turn(b'{"role":"user","content":"\\ud800"}'), 422, "lone_surrogate", "content"),
    Attack("lone surrogate, read", post_memory(b'{"agent_id":"\\ud800"}'), 422, "invalid_id", "agent_id"),
    Attack("lone surrogate as a field", post_turn(TURN[:-1] + b',"\\udc00":1}'), 422, "lone_surrogate", "body"),
    Attack("lone surrogate as a field, read", post_memory(b'{"agent_id":"a","\\udc00":1}'), 422, "unknown_field", "?"),
    Attack("lone surrogate as a field twice", post_turn(b'{"\\udc00":1,"\\udc00":1}'), 422, "duplicate_key", "?"),
    Attack("surrogate as UTF-8", post_turn(b'{"role":"user","content":"\xed\xa0\x80"}'), 400, "malformed_json", "body"),
    *both("NaN", b"NaN", 422, "not_finite"),
    *both("Infinity", b"-Infinity", 422, "not_finite"),
    *both("1e999", b"1e999", 422, "not_finite"),
    *both("an exponent of 5,000 digits", b"1e" + b"9" * 5_000, 422, "not_finite"),
    *both("5,000 digits", b"1" * 5_000, 400, "integer_too_long"),
    *both("duplicate keys", b'{"k":1,"k":2}', 422, "duplicate_key", "k"),
    Attack("duplicate field", post_turn(TURN[:-1] + b',"role":"system"}'), 422, "duplicate_key", "role"),
    Attack("duplicate field, read", post_memory(CALL[:-1] + b',"agent_id":"b"}'), 422, "duplicate_key", "agent_id"),
    Attack("100,000 deep", post_turn(turn_with(DEEP)), 400, "nesting_too_deep", "body"),
    Attack("30,000 deep, read", post_memory(call_with(SHALLOWER)), 400, "nesting_too_deep", "body"),
    Attack("100,000 deep, never closed", post_turn(b"[" * 100_000), 400, "nesting_too_deep", "body"),
    Attack("an integer that others round", post_turn(turn_with(b"9007199254740993")), 422, "integer_range",
           "metadata.a"),
    Attack("a field name of a megabyte", post_turn(TURN[:-1] + b',"%s":1}' % (b"x" * 1_000_000)), 422, "unknown_field",
           "x" * 199 + "…"),
]  # fmt: skip
ENCODINGS = [
    *whole("UTF-16", TURN.decode().encode("utf-16"), CALL.decode().encode("utf-16"), 415, "unsupported_encoding"),
    *whole("UTF-16 unmarked", TURN.decode().encode("utf-16-be"), CALL.decode().encode("utf-16-le"), 415,
           "unsupported_encoding"),
    *whole("UTF-32", TURN.decode().encode("utf-32-be"), CALL.decode().encode("utf-32-le"), 415, "unsupported_encoding"),
    *whole("Latin-1", b'{"role":"user","content":"\xe9"}', b'{"agent_id":"\xe9"}', 400, "malformed_json"),
    *whole("byte order mark", b"\xef\xbb\xbf" + TURN, b"\xef\xbb\xbf" + CALL, 400, "malformed_json"),
    *whole("nothing", b"", b"", 400, "malformed_json"),
    *whole("half of it", TURN[:-5], CALL[:-5], 400, "malformed_json"),
    *whole("two values", TURN + TURN, CALL + CALL, 400, "malformed_json"),
    *whole("a list", b"[]", b"[]", 422, "wrong_type"),
    *whole("a text", b'"x"', b'"x"', 422, "wrong_type"),
    Attack("charset named", post_turn(TURN, "Content-Type: application/json; charset=utf-16"), 415,
           "unsupported_encoding", "content-type"),
    Attack("gzip bomb", post_turn(BOMB, "Content-Encoding: gzip"), 415, "unsupported_encoding", "content-encoding"),
    Attack("gzip bomb, read", post_memory(BOMB[:60_000], "Content-Encoding: gzip"), 415, "unsupported_encoding",
           "content-encoding"),
    Attack("brotli", post_turn(TURN, "Content-Encoding: br"), 415, "unsupported_encoding", "content-encoding"),
    Attack("gzip under identity", post_turn(TURN, "Content-Encoding: identity, gzip"), 415, "unsupported_encoding",
           "content-encoding"),
    Attack("9 MB", post_turn(b" " * 9_000_000), 413, "body_too_large", "body", closes=True),
    Attack("70 KB, read", post_memory(b" " * 70_000), 413, "body_too_large", "body", closes=True),
    Attack("17 MB load", request("POST", "/v1/turns", body=b" " * 17_000_000), 413, "body_too_large", "body",
           closes=True),
]  # fmt: skip
FIELDS = [
    Attack("tenant in the body", post_turn(TURN[:-1] + b',"tenant":"other"}'), 422, "unknown_field", "tenant"),
    Attack("tenant in the body, read", post_memory(CALL[:-1] + b',"tenant":"other"}'), 422, "unknown_field", "tenant"),
    Attack("a version of its own", post_turn(TURN[:-1] + b',"version":1}'), 422, "unknown_field", "version"),
    Attack("foreign role", post_turn(b'{"role":"developer","content":"x"}'), 422, "invalid_field", "role"),
    Attack("role in another case", post_turn(b'{"role":"System","content":"x"}'), 422, "invalid_field", "role"),
    Attack("Idempotency-Key twice", post_turn(TURN, "Idempotency-Key: a", "Idempotency-Key: b"), 422, "header_twice",
           "Idempotency-Key"),
    Attack("If-Match twice", post_turn(TURN, 'If-Match: "v1"', 'If-Match: "v2"'), 422, "header_twice", "If-Match"),
    *[
        Attack(f"limit {limit}, read", post_memory(call_with(limit.encode())), 422, "out_of_range", "limit")
        for limit in ("-1", "0", "1000000000", "1001")
    ],
    *[
        Attack(f"limit {limit} of {path}", request("GET", f"{path}?limit={limit}"), 422, "out_of_range", "limit")
        for limit in ("-1", "0", "1000000000", "9" * 300)
        for path in ("/v1/sessions", "/v1/sessions/s/turns", "/v1/logs/main/events")
    ],
    *[
        Attack(f"limit {limit!r}", request("GET", f"{TURNS}?limit={limit}"), 422, "invalid_integer", "limit")
        for limit in ("1.5", "x", "", "%00", "0x10", "1_0", "%F0%9F%98%80")
    ],
    Attack("limit twice", request("GET", "/v1/sessions?limit=1&limit=2"), 422, "parameter_twice", "limit"),
    Attack("tenant as a parameter", request("GET", "/v1/sessions?tenant=other"), 422, "unknown_parameter", "tenant"),
    Attack("parameter of a write", request("POST", f"{TURNS}?x=1", body=TURN), 422, "unknown_parameter", "x"),
    Attack("parameter of a load", request("POST", "/v1/turns?x=1", body=b""), 422, "unknown_parameter", "x"),
    Attack("retract nothing", request("DELETE", "/v1/sessions/s/turns?from_version=0&to_version=1"), 422,
           "out_of_range", "from_version"),
    Attack("retract without a range", request("DELETE", "/v1/sessions/s/turns"), 422, "missing_parameter",
           "from_version"),
    Attack("NUL in a reason", request("DELETE", "/v1/sessions/s/turns?from_version=1&to_version=1&reason=%00"), 422,
           "nul_character", "reason"),
    Attack("body of a compression", request("POST", "/v1/sessions/s/compress", JSON, body=b'{"now":1}'), 422,
           "unknown_field", "body"),
]  # fmt: skip
CURSORS = [
    Attack(f"cursor {name}", request("GET", f"/v1/sessions?cursor={cursor}"), 400, "invalid_cursor", "cursor")
    for name, cursor in {
        "garbled": "AAAA",
        "of noise": "%F0%9F%98%80%00",
        "empty": "",
        "of another format": "AgAAAAAAAAAFAAAAAAAAAAA",
        "beyond 64 bits": "Af__________AAAAAAAAAAA",
        "long": "A" * 200,
    }.items()
]
TABLE = [*JSON_VALUES, *ENCODINGS, *FIELDS, *CURSORS]


@pytest.mark.parametrize("attack", TABLE, ids=names(TABLE))
async def test_a_bad_body_or_parameter_is_refused_by_name(door: Any, attack: Attack) -> None:
    session = fresh()
    await attack.made_on(door.port, session)
    read = Attack("read", request("GET", f"/v1/sessions/{session}/turns"), 404, "session_not_found", "session_id")
    await read.made_on(door.port, session)


async def test_a_cursor_of_another_list_is_refused(door: Any) -> None:
    for agent in ("one", "two"):
        for _ in range(2):
            sent = post_turn(b'{"role":"user","content":"x","agent_id":"%s"}' % agent.encode())
            await Attack("stored", sent, 201).made_on(door.port, fresh())
    path = "/v1/sessions?limit=1&agent_id=one"
    cursor = (await Attack("page", request("GET", path), 200).made_on(door.port, "")).json["next_cursor"]
    await Attack("its own", request("GET", f"{path}&cursor={cursor}"), 200).made_on(door.port, "")
    for foreign in (f"/v1/sessions?agent_id=two&cursor={cursor}", f"/v1/sessions?cursor={cursor}"):
        await Attack("foreign", request("GET", foreign), 400, "invalid_cursor", "cursor").made_on(door.port, "")


@pytest.mark.parametrize("statement", ["'; DROP TABLE turnlog.events; --", '" OR 1=1 --', "$1", "%s", "\\'; SELECT 1"])
async def test_sql_is_stored_as_it_is(door: Any, statement: str) -> None:
    session = fresh()
    body = {"role": "user", "content": statement, "name": statement, "metadata": {statement: [statement]}}
    await Attack("sql", post_turn(json.dumps(body).encode()), 201).made_on(door.port, session)
    for path in (f"/v1/sessions/{session}/turns", f"/v1/sessions/{session}/turns?min_version=1&wait_ms=0"):
        (turn,) = (await Attack("read", request("GET", path), 200).made_on(door.port, session)).json["turns"]
        assert {name: turn[name] for name in body} == body


async def test_a_forwarded_address_or_tenant_is_ignored(door: Any) -> None:
    session = fresh()
    forged = ("X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: evil", "X-Tenant: other", "Forwarded: for=10.0.0.1")
    await Attack("forged", post_turn(TURN, *forged), 201).made_on(door.port, session)
    read = await Attack("read", request("GET", f"/v1/sessions/{session}/turns"), 200).made_on(door.port, session)
    assert len(read.json["turns"]) == 1
    history = await Attack("log", request("GET", f"/v1/logs/{door.log}/events?limit=1000"), 200).made_on(door.port, "")
    assert {event["tenant"] for event in history.json["events"]} == {"default"}
