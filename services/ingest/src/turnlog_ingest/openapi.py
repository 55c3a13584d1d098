"""What the OpenAPI document says of each write: schemas, examples and errors."""

from typing import Any

from fastapi import FastAPI, Response

from turnlog_events.canonical import INTEGER_LIMIT
from turnlog_events.ids import ID_PATTERN
from turnlog_ingest.answers import outcome_unknown
from turnlog_ingest.shapes import Loaded, Placed, PlacedMany, Queued, Remembered, Retracted
from turnlog_ingest.tool_body import StoreMemoryBody
from turnlog_ingest.turn_body import ANY_JSON, TurnBody
from turnlog_runtime.described import completed, problems
from turnlog_runtime.problems import Problem

_TURN_ID = "0199f0c2-7a6e-7c1b-9f5e-1d2c3b4a5968"
_PLACED = {
    "turn_id": _TURN_ID,
    "log": "main",
    "position": 42,
    "version": 7,
    "recorded_at": "2026-11-23T18:47:20.000123Z",
    "duplicate": False,
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": ID_PATTERN},
    "description": "Stands for `turn_id`; in a request of many, `k` stands for `k#1`, `k#2` …",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string", "pattern": r'^(W/)?"v[0-9]{1,18}(\.s[0-9]+)?"$'},
    "example": '"v12"',
    "description": "The version the session must have; 412 when it is another.",
}
_BODY = (
    Problem(400, "malformed_json", "body: is not JSON: Expecting value at character 0", "body"),
    Problem(413, "body_too_large", "the body is larger than 8388608 bytes; send it in parts", "body"),
    Problem(415, "unsupported_encoding", "content-encoding: send the body uncompressed", "content-encoding"),
    Problem(422, "missing_field", "role: is required", "role"),
)
_CONFLICT = Problem(409, "turn_id_conflict", "turn_id t-1 is stored with another body", "turn_id")
_STORE = (
    Problem(503, "store_unavailable", "nothing was stored; try again", retry_after_s=1),
    outcome_unknown(),
    Problem(507, "disk_full", "nothing was stored; an operator must make room", retry_after_s=30),
)
_VERSION = Problem(412, "version_mismatch", "the session is at version 13; read it again and decide anew", "If-Match")
_NO_SESSION = Problem(404, "session_not_found", "session s1 has no turns", "session_id")


def _answered(description: str, shape: Any, example: object, *errors: Problem, status: int = 200) -> dict[str, Any]:
    answer = {"description": description, "model": shape, "content": {"application/json": {"example": example}}}
    return {"status_code": status, "responses": {status: answer, **problems(*errors)}}


def _taking(
    schema: Any,
    example: object,
    *parameters: dict[str, Any],
    media_type: str = "application/json",
    required: bool = True,
) -> dict[str, Any]:
    content = {media_type: {"schema": schema, "example": example}}
    return {"parameters": list(parameters), "requestBody": {"required": required, "content": content}}


def _many(turn: dict[str, Any]) -> dict[str, Any]:
    turns = {"type": "array", "minItems": 1, "maxItems": 1000, "items": turn}
    return {"type": "object", "required": ["turns"], "additionalProperties": False, "properties": {"turns": turns}}


_NUMBER = {"type": "number", "exclusiveMinimum": -INTEGER_LIMIT, "exclusiveMaximum": INTEGER_LIMIT}
_ANY = {"$ref": "#/components/schemas/Json"}
_JSON: dict[str, Any] = {
    "description": "Any JSON whose numbers every parser can hold, without NUL characters and lone surrogates.",
    "anyOf": [
        {"type": ["string", "boolean", "null"]},
        _NUMBER,
        {"type": "array", "items": _ANY},
        {"type": "object", "additionalProperties": _ANY},
    ],
}
_TURN = {"$ref": "#/components/schemas/TurnBody"}
STORE_TURNS: dict[str, Any] = {
    "summary": "Store one turn, or many of one session (all or nothing)",
    "openapi_extra": _taking(
        {"oneOf": [_TURN, _many(_TURN)]}, {"role": "user", "content": "My flight is on Friday."}, _KEY, _IF_MATCH
    ),
    **_answered(
        "Stored, or stored before (`duplicate`).",
        Placed | PlacedMany,
        _PLACED,
        *(*_BODY, _CONFLICT, _VERSION, *_STORE),
        status=201,
    ),
}
BULK: dict[str, Any] = {
    "summary": "Load turns of any sessions: NDJSON in, one result a line out",
    "response_class": Response,
    "responses": {
        200: {
            "description": "One JSON object a line: `status` is stored, duplicate, refused or failed.",
            "content": {
                "application/x-ndjson": {
                    "schema": {"type": "string"},
                    "example": '{"line":1,"status":"stored","position":42,"version":7}\n',
                }
            },
        },
        **problems(
            Problem(413, "too_many_lines", "a load has at most 10000 lines; this has 12000", "body"), *_BODY[1:3]
        ),
    },
    "openapi_extra": _taking(
        {"type": "string"},
        '{"session_id":"s1","role":"user","content":"My flight is on Friday."}\n',
        _KEY,
        media_type="application/x-ndjson",
        required=False,
    ),
}
RETRACT: dict[str, Any] = {
    "summary": "Hide turns from every read model; the history keeps them",
    "openapi_extra": {"parameters": [_KEY, _IF_MATCH]},
    **_answered(
        "Retracted.",
        Retracted,
        {
            "session_id": "s1",
            "from_version": 3,
            "to_version": 4,
            "log": "main",
            "position": 43,
            "recorded_at": _PLACED["recorded_at"],
            "duplicate": False,
        },
        *(_NO_SESSION, _CONFLICT, _VERSION, *_STORE),
        Problem(409, "version_not_reached", "the session is at version 3", "to_version"),
    ),
}
COMPRESS: dict[str, Any] = {
    "summary": "Ask for a summary up to the session's version now",
    "openapi_extra": {"parameters": [_KEY]},
    **_answered(
        "Queued.",
        Queued,
        {"task_id": _TURN_ID, "log": "main", "position": 44},
        *(_NO_SESSION, _CONFLICT, *_BODY[1:3], *_STORE),
        status=202,
    ),
}
STORE_MEMORY: dict[str, Any] = {
    "summary": "Store a message of an agent (tool endpoint)",
    "openapi_extra": _taking(
        {"$ref": "#/components/schemas/StoreMemoryBody"},
        {"agent_id": "travel", "message": "Ana flies on Friday."},
        _KEY,
    ),
    **_answered(
        "Stored, or stored before (`duplicate`).",
        Remembered,
        {
            "memory_id": _TURN_ID,
            "stored": True,
            "session_id": "~agent.travel",
            "version": 7,
            "position": 42,
            "duplicate": False,
        },
        *(*_BODY, _CONFLICT, *_STORE),
    ),
}


def document_of(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, with the schemas of the bodies that it reads itself."""
    if app.openapi_schema is None:
        bodies = {body.__name__: _with_any(body.model_json_schema()) for body in (TurnBody, StoreMemoryBody)}
        schemas = FastAPI.openapi(app).setdefault("components", {}).setdefault("schemas", {})
        schemas |= {"Json": _JSON, "LoadedLine": Loaded.model_json_schema(), **bodies}
        completed(FastAPI.openapi(app))
    return FastAPI.openapi(app)


def _with_any(schema: Any) -> Any:
    if isinstance(schema, dict):
        return _ANY if schema == ANY_JSON else {name: _with_any(value) for name, value in schema.items()}
    return [_with_any(item) for item in schema] if isinstance(schema, list) else schema
