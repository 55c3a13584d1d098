"""What each route's documentation says of its answers: shape, example, errors. HTTP edge."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from turnlog_events.ids import ID_PATTERN, SESSION_ID_PATTERN
from turnlog_query.errors import session_not_found, version_not_reached
from turnlog_query.params import LIMIT_DEFAULT, LIMIT_MAX
from turnlog_runtime.described import problems
from turnlog_runtime.problems import Problem

SESSION = (session_not_found("trip-to-lisbon"),)
AT_VERSION = (*SESSION, version_not_reached(41, 42))
CURSOR = Problem(400, "invalid_cursor", "cursor: is not one of this list; start again without it", "cursor")
TASK = Problem(404, "task_not_found", "task 019ab1f0 does not exist", "task_id")
LOG = Problem(404, "log_not_found", "log other does not exist", "log")
OLD_HTTP = Problem(400, "http_version", "live events need HTTP/1.1")
STREAMS = Problem(503, "too_many_streams", "no more live streams here; try again", retry_after_s=1)
BODY = (
    Problem(400, "malformed_json", "body: is not JSON: Expecting value at character 0", "body"),
    Problem(404, "agent_not_found", "agent planner was seen in no session", "agent_id"),
    *SESSION,
    Problem(413, "body_too_large", "the body is larger than 65536 bytes; send it in parts", "body"),
    Problem(415, "unsupported_encoding", "content-encoding: send the body uncompressed", "content-encoding"),
    Problem(422, "unknown_field", "colour: is not a known field; remove it", "colour"),
)
_COMMON = (
    Problem(422, "out_of_range", "limit: input should be greater than or equal to 1", "limit"),
    Problem(503, "deadline_exceeded", "the read took longer than it may; try again", retry_after_s=1),
)
_ETAG = {
    "description": "The session's version and summary revision; `If-None-Match` with it is answered 304.",
    "required": True,
    "schema": {"type": "string", "pattern": r'^"v[0-9]+\.s[0-9]+"$'},
}


def documented(
    example: Any, shape: type[BaseModel] | None, *errors: Problem, tagged: bool = False, media_type: str = ""
) -> dict[str, Any]:
    """What a route's documentation says of its answers. `tagged`: they carry an `ETag`, and may be 304."""
    content: dict[str, Any] = {"example": example} | ({} if shape else {"schema": {"type": "string"}})
    answer: dict[str, Any] = {"description": "The answer.", "content": {media_type or "application/json": content}}
    if shape is not None:
        answer["model"] = shape
    responses: dict[int | str, dict[str, Any]] = {200: answer}
    if tagged:
        answer["headers"] = {"etag": _ETAG}
        responses[304] = {"description": "The client has this answer already.", "headers": {"etag": _ETAG}}
    return {"responses": responses | problems(*errors, *_COMMON)}


def tool_body(example: Mapping[str, Any], *, takes_limit: bool) -> dict[str, Any]:
    """The documentation of a tool's body."""
    fields: dict[str, Any] = {
        "agent_id": {"type": "string", "pattern": ID_PATTERN},
        "session_id": {"type": ["string", "null"], "pattern": SESSION_ID_PATTERN},
    }
    if takes_limit:
        fields["limit"] = {"type": ["integer", "null"], "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    schema = {"type": "object", "properties": fields, "required": ["agent_id"], "additionalProperties": False}
    content = {"application/json": {"schema": schema, "example": dict(example)}}
    return {"requestBody": {"required": True, "content": content}}
