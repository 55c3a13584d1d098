"""What the OpenAPI document says of each write: schemas, examples and errors."""

from typing import Any

from turnlog_ingest.tool_body import StoreMemoryBody
from turnlog_ingest.turn_body import TurnBody

_TURN = TurnBody.model_json_schema()
_PLACED = {
    "turn_id": "0199f0c2-7a6e-7c1b-9f5e-1d2c3b4a5968",
    "log": "main",
    "position": 42,
    "version": 7,
    "recorded_at": "2026-11-23T18:47:20.000123Z",
    "duplicate": False,
}
_PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "role: is required",
    "error": {"type": "invalid_request", "message": "role: is required", "code": "missing_field", "param": "role"},
}
_HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "maxLength": 200},
        "description": "Stands for `turn_id`; in a request of many, `k` stands for `k#1`, `k#2` …",
    },
    {
        "name": "If-Match",
        "in": "header",
        "schema": {"type": "string"},
        "example": '"v12"',
        "description": "The version the session must have; 412 when it is another.",
    },
]


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"example": _PROBLEM}}}


def _json(description: str, example: object) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"example": example}}}


_ERRORS = {
    400: _problem("The body is not JSON."),
    409: _problem("The same turn_id holds another body, or stands twice in the request."),
    412: _problem("The session is at another version."),
    413: _problem("The body is too large."),
    415: _problem("The body is compressed or not UTF-8."),
    422: _problem("A field is wrong; `error.param` names it."),
    429: _problem("A limit is used up, and nothing was stored; try again after `Retry-After` seconds."),
    503: _problem("Nothing was stored; try again after `Retry-After` seconds."),
    504: _problem("The outcome is unknown; send the same again with the same ids."),
}

STORE_TURNS: dict[str, Any] = {
    "summary": "Store one turn, or many of one session (all or nothing)",
    "status_code": 201,
    "responses": {201: _json("Stored, or stored before (`duplicate`).", _PLACED), **_ERRORS},
    "openapi_extra": {
        "parameters": _HEADERS,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _TURN,
                            {
                                "type": "object",
                                "required": ["turns"],
                                "additionalProperties": False,
                                "properties": {
                                    "turns": {"type": "array", "minItems": 1, "maxItems": 1000, "items": _TURN}
                                },
                            },
                        ]
                    },
                    "example": {"role": "user", "content": "My flight is on Friday."},
                }
            },
        },
    },
}
BULK: dict[str, Any] = {
    "summary": "Load turns of any sessions: NDJSON in, one result a line out",
    "responses": {
        200: {
            "description": "One JSON object a line: `status` is stored, duplicate, refused or failed.",
            "content": {
                "application/x-ndjson": {"example": '{"line":1,"status":"stored","position":42,"version":7}\n'}
            },
        },
        413: _ERRORS[413],
        415: _ERRORS[415],
        422: _ERRORS[422],
        429: _ERRORS[429],
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-ndjson": {
                    "example": '{"session_id":"s1","role":"user","content":"My flight is on Friday."}\n'
                }
            },
        }
    },
}
RETRACT: dict[str, Any] = {
    "summary": "Hide turns from every read model; the history keeps them",
    "responses": {
        200: _json("Retracted.", {"session_id": "s1", "from_version": 3, "to_version": 4, "position": 43}),
        **_ERRORS,
    },
}
COMPRESS: dict[str, Any] = {
    "summary": "Ask for a summary up to the session's version now",
    "status_code": 202,
    "responses": {
        202: _json("Queued.", {"task_id": "0199f0c2-7a6e-7c1b-9f5e-1d2c3b4a5968", "position": 44}),
        **_ERRORS,
    },
}
STORE_MEMORY: dict[str, Any] = {
    "summary": "Store a message of an agent (tool endpoint)",
    "responses": {200: _json("Stored.", {"memory_id": _PLACED["turn_id"], "stored": True}), **_ERRORS},
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": StoreMemoryBody.model_json_schema()}},
        }
    },
}
