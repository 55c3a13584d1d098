"""A turn as a client sends it → the event to be appended. Pure.

The payload of the event is the fields as sent, so that sending the same turn again gives the same bytes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from turnlog_events.canonical import canonical
from turnlog_events.errors import InvalidField
from turnlog_events.event import TURN_STORED, NewEvent
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import ID_MAX_CHARS, ID_PATTERN, checked_id, is_id, new_id

TURN_MAX_BYTES = 256 * 1024
METADATA_MAX_BYTES = 16 * 1024
PARTS_MAX = 1_000
TOOL_CALLS_MAX = 128

_ID_RULE = f"must be 1 to {ID_MAX_CHARS} characters of A-Z a-z 0-9 . _ : @ + - #, and neither '.' nor '..'"


def _id(value: str) -> str:
    if not is_id(value):
        raise ValueError(_ID_RULE)
    return value


def _moment(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be an RFC 3339 time, e.g. 2026-11-23T18:47:20Z") from None
    if moment.tzinfo is None or "T" not in value.upper():
        raise ValueError("must be an RFC 3339 time with an offset, e.g. 2026-11-23T18:47:20Z")
    return value


def _typed_parts(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for part in parts:
        if not isinstance(part.get("type"), str):
            raise ValueError("each part must be an object with a text `type`")
    return parts


ANY_JSON = {"x-any-json": True}
"""Stands in a body's schema for the schema of any JSON that is taken (`openapi.py` puts it in)."""
_PART = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string"}},
    "additionalProperties": ANY_JSON,
}
Id = Annotated[str, AfterValidator(_id), Field(json_schema_extra={"pattern": ID_PATTERN})]
Moment = Annotated[str, Field(max_length=64), AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]
Text = Annotated[str, Field(max_length=TURN_MAX_BYTES, description="No NUL characters, no lone surrogates.")]
Parts = Annotated[
    list[dict[str, Any]],
    Field(min_length=1, max_length=PARTS_MAX, json_schema_extra={"items": _PART}),
    AfterValidator(_typed_parts),
]
Metadata = Annotated[
    dict[str, Any],
    Field(description=f"At most {METADATA_MAX_BYTES} bytes.", json_schema_extra={"additionalProperties": ANY_JSON}),
]
ToolCalls = Annotated[
    list[dict[str, Any]],
    Field(
        min_length=1,
        max_length=TOOL_CALLS_MAX,
        json_schema_extra={"items": {"type": "object", "additionalProperties": ANY_JSON}},
    ),
]


class TurnBody(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"role": "user", "content": "My flight is on Friday.", "agent_id": "travel", "user_id": "ana"}
            ],
            "anyOf": [  # only what calls tools may be empty
                {"properties": {"content": {"minLength": 1}}},
                {"required": ["tool_calls"], "properties": {"tool_calls": {"type": "array"}}},
            ],
        },
    )

    role: Literal["user", "assistant", "system", "tool"]
    content: Text | Parts
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    agent_id: Id | None = None
    user_id: Id | None = None
    metadata: Metadata | None = None
    occurred_at: Moment | None = None
    turn_id: Id | None = None
    tool_calls: ToolCalls | None = None
    tool_call_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


_VALIDATOR = TypeAdapter(TurnBody).validator


def turn_event(
    tenant: str, session_id: str, raw: object, turn_id: str | None, field: str = "", trace: str | None = None
) -> NewEvent:
    """The event for one turn of a parsed request body.

    `turn_id` is the id from the request's `Idempotency-Key`, if any; the body's own must not differ from it. Raises
    `InvalidField` whose field starts with `field` (`turns.3`).
    """
    try:
        _VALIDATOR.validate_python(raw)
    except ValidationError as error:
        raise invalid_field(error, field) from None
    fields = {k: v for k, v in cast("Mapping[str, Any]", raw).items() if v is not None}
    own_id = fields.pop("turn_id", None)
    if own_id is not None and turn_id is not None and own_id != turn_id:
        raise InvalidField(_at(field, "turn_id"), "differs from Idempotency-Key; send one of them", "turn_id_mismatch")
    if fields["content"] == "" and "tool_calls" not in fields:
        raise InvalidField(_at(field, "content"), "must not be empty", "empty_content")
    payload = _payload(fields, field)
    return NewEvent(
        tenant=tenant,
        session_id=session_id,
        type=TURN_STORED,
        key=own_id or turn_id or new_id(),
        payload=payload,
        payload_sha256=payload_hash(payload),
        event_id=new_id(),
        trace=trace,
        agent_id=fields.get("agent_id"),
        user_id=fields.get("user_id"),
    )


def _payload(fields: dict[str, Any], field: str) -> bytes:
    payload = canonical(fields, field)
    if len(payload) > TURN_MAX_BYTES:
        raise InvalidField(
            field or "body", f"a turn has at most {TURN_MAX_BYTES} bytes; this is {len(payload)}", "turn_too_large"
        )
    metadata = fields.get("metadata")
    if metadata and len(payload) > METADATA_MAX_BYTES and len(canonical(metadata)) > METADATA_MAX_BYTES:
        raise InvalidField(_at(field, "metadata"), f"has at most {METADATA_MAX_BYTES} bytes", "metadata_too_large")
    return payload


def idempotency_key(value: str | None) -> str | None:
    """The `Idempotency-Key` header as a turn id. Raises `InvalidField`."""
    return None if value is None else checked_id(value, "Idempotency-Key")


def invalid_field(error: ValidationError, field: str) -> InvalidField:
    """The first thing pydantic objects to, with the field's path as the client wrote it and what to send instead."""
    first = min(error.errors(include_url=False), key=lambda e: e["type"] in ("string_type", "list_type"))
    path = [str(part) for part in first["loc"] if not _is_branch(part)]
    place = ".".join([field, *path] if field else path) or "body"
    kind = first["type"]
    if kind == "extra_forbidden":
        return InvalidField(place, "is not a known field; remove it", "unknown_field")
    if kind == "string_unicode":
        return InvalidField(place, "holds a lone surrogate (\\ud800 to \\udfff); send valid Unicode", "lone_surrogate")
    if kind == "missing":
        return InvalidField(place, "is required", "missing_field")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return InvalidField(place, "must be a JSON object", "wrong_type")
    if path == ["content"] and kind.endswith("_type"):
        return InvalidField(place, "must be text, or a list of objects with a `type`", "wrong_type")
    message = first["msg"].removeprefix("Value error, ")
    code = "invalid_id" if _ID_RULE in message else "wrong_type" if kind.endswith("_type") else "invalid_field"
    return InvalidField(place, message[:1].lower() + message[1:], code)


def _is_branch(part: object) -> bool:
    """Whether a part of pydantic's path names a branch of a union, not a field."""
    return isinstance(part, str) and ("[" in part or part in ("str", "constrained-str"))


def _at(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def placed_json(key: str, log: str, position: int, version: int | None, recorded_at: str, *, duplicate: bool) -> bytes:
    """One turn's place as JSON bytes. Ids need no escaping: their alphabet has no quote or backslash."""
    flag = "true" if duplicate else "false"
    return (
        f'{{"turn_id":"{key}","log":"{log}","position":{position},"version":{version},'
        f'"recorded_at":"{recorded_at}","duplicate":{flag}}}'
    ).encode()


def json_line(value: Mapping[str, Any]) -> bytes:
    """A JSON object and a line feed."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
