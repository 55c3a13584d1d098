"""Ids that would mean something to a store, a bus, a shell or a terminal: 422 with its name, wherever one may stand."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from attacks import JSON, TURN, Attack, names
from querying import fresh
from wire import request

HOSTILE = {
    "star": "*",
    "subject wildcard": "a.>",
    "braces": "{}",
    "hash tag": "{x}y",
    "CRLF": "a\r\nSET x 1",
    "NUL": "a\0b",
    "glob": "a[b-c]?",
    "space": "a b",
    "quote": "a'b",
    "SQL": "' OR 1=1",
    "slash": "a/b",
    "backslash": "a\\b",
    "dots": "..",
    "dot": ".",
    "path": "../../etc/passwd",
    "escape sequence": "\x1b[2J",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "fullwidth": "\uff41",
    "accent": "é",
    "tilde": "~x",
    "nobody's agent": "~agent.",
    "template": "${x}",
    "percent": "a%2Fb",
    "long": "x" * 201,
}
READS = ("", "/turns", "/turns?limit=5", "/turns?min_version=1", "/summary", "/context", "/events")


def in_path(name: str, value: str) -> list[Attack]:
    id_ = quote(value, safe="") if value not in (".", "..") else value.replace(".", "%2E")
    session = f"/v1/sessions/{id_}"
    calls = [
        *(("GET", session + read, None) for read in READS),
        ("POST", f"{session}/turns", TURN),
        ("POST", f"{session}/compress", b""),
        ("DELETE", f"{session}/turns?from_version=1&to_version=1", None),
    ]
    return [
        Attack(f"{name}: {method} {path.removeprefix(session)}", request(method, path, body=body), 422, "invalid_id",
               "session_id")
        for method, path, body in calls
    ]  # fmt: skip


def in_bodies(name: str, value: str) -> list[Attack]:
    def body(**fields: str) -> bytes:
        return json.dumps(fields).encode()

    turn = {"role": "user", "content": "x"}
    writes = [
        (path, body(**fields, **{field: value}), field)
        for path, fields, fields_named in (
            ("/v1/sessions/s/turns", turn, ("turn_id", "agent_id", "user_id")),
            ("/tools/store_memory", {"agent_id": "a", "message": "x"}, ("memory_id", "user_id", "session_id")),
            ("/tools/get_recent_turns", {"agent_id": "a"}, ("session_id",)),
            ("/tools/get_recent_turns", {}, ("agent_id",)),
            ("/tools/get_compressed_memory", {"agent_id": "a"}, ("session_id",)),
        )
        for field in fields_named
    ]
    return [
        Attack(f"{name}: {field} of {path}", request("POST", path, JSON, body=sent), 422, "invalid_id", field)
        for path, sent, field in writes
    ]


def in_parameters(name: str, value: str) -> list[Attack]:
    id_ = quote(value, safe="")
    return [
        Attack(f"{name}: ?{param} of {path}", request("GET", f"{path}?{param}={id_}"), 422, "invalid_id", param)
        for path, params in (("/v1/sessions", ("agent_id", "user_id")), ("/v1/sessions/s/turns", ("agent_id",)))
        for param in params
    ]  # fmt: skip


PATHS = [attack for name, value in HOSTILE.items() for attack in in_path(name, value)]
BODIES = [attack for name, value in HOSTILE.items() for attack in in_bodies(name, value)]
PARAMETERS = [attack for name, value in HOSTILE.items() for attack in in_parameters(name, value)]
OTHERS = [
    *[
        Attack(f"{name}: {path}", request("GET", path.format(quote(value, safe=""))), 422)
        for name, value in HOSTILE.items()
        if value not in (".", "..")
        for path in ("/v1/tasks/{}", "/v1/logs/{}", "/v1/logs/{}/events")
    ],
    *[
        Attack(f"key {name}", request("POST", "/v1/sessions/s/turns", f"Idempotency-Key: {value}", body=TURN), 422,
               "invalid_id", "Idempotency-Key")
        for name, value in HOSTILE.items()
        if value.isascii() and value.isprintable()
    ],
]  # fmt: skip
TABLE = [*PATHS, *BODIES, *PARAMETERS, *OTHERS]
names(TABLE)


@pytest.mark.parametrize("kind", list(HOSTILE))
async def test_a_hostile_id_is_refused_wherever_an_id_may_stand(door: Any, kind: str) -> None:
    chosen = [attack for attack in TABLE if attack.name.startswith((f"{kind}:", f"key {kind}"))]
    assert len(chosen) > 15
    for attack in chosen:
        try:
            await attack.made_on(door.port, fresh())
        except AssertionError as error:
            error.add_note(attack.name)
            raise
