"""What the OpenAPI documents of all services have in common: the credential that a call shows, the form of errors, and
what every call may answer.

Plain dictionaries in and out. A service gives its routes their own answers with `problems`, and passes its finished
document through `completed`.
"""

from collections.abc import Mapping
from typing import Any

from turnlog_runtime.problems import Problem
from turnlog_runtime.request_head import MALFORMED

Document = dict[str, Any]
SCHEME = "credential"
_SCHEMES = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`tl_…`), or an access token of the configured issuer.",
    }
}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details, with the member `error`. docs/errors.md lists the codes.",
    "required": ["type", "title", "status", "detail", "error"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "The same as `error.message`."},
        "error": {
            "type": "object",
            "required": ["type", "message", "code", "param"],
            "additionalProperties": False,
            "properties": {
                "type": {"type": "string", "description": "The kind of error."},
                "message": {"type": "string", "description": "For people: names the field and the fix."},
                "code": {"type": "string", "pattern": "^[a-z_]+$", "description": "For machines."},
                "param": {"type": ["string", "null"], "description": "The field, parameter or header."},
            },
        },
    },
}
_REQUEST_ID = {
    "description": "The client's `x-request-id`, or a new id; log lines of the request carry it.",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}
_RETRY_AFTER = {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 0}}

COMMON: Mapping[int, Problem] = {
    400: Problem(400, MALFORMED, "host: must be sent once", "host"),
    401: Problem(401, "credential_missing", "send Authorization: Bearer with an API key", "Authorization"),
    403: Problem(403, "scope_missing", "this call needs the scope memory:write; use a credential that has it"),
    404: Problem(404, "route_not_found", "no call has this path; /openapi.json describes all there are"),
    408: Problem(408, "request_timeout", "the head of the request did not arrive within 9 s", "head"),
    414: Problem(414, "target_too_long", "the request target has more than 32768 bytes"),
    422: Problem(422, "unknown_parameter", "colour: is not a parameter of this call", "colour"),
    429: Problem(
        429,
        "rate_limited",
        "6000 requests a minute for each credential are allowed, and they are used up; try again in 3 s",
        retry_after_s=3,
    ),
    431: Problem(431, "head_too_large", "the head of a request has at most 32768 bytes and 100 fields"),
    500: Problem(500, "internal", "something failed on our side; it is logged under this request-id"),
    503: Problem(503, "store_unavailable", "PostgreSQL is away; try again", retry_after_s=1),
}
"""What any call may be answered with, by status: an example each."""
_WORDS = {
    400: "The request, or its body, cannot be read.",
    401: "No good credential was shown; `WWW-Authenticate` says what is asked for.",
    403: "The credential lacks the scope of this call.",
    404: "There is no such thing; another tenant's is answered alike.",
    408: "The request did not arrive in time; the connection is closed.",
    409: "It contradicts what is stored.",
    412: "The session is at another version.",
    413: "The body is too large.",
    414: "The request target is too long.",
    415: "The body is compressed, or not UTF-8.",
    422: "A field or parameter is wrong; `error.param` names it.",
    429: "A limit is used up, and nothing was stored; try again after `Retry-After` seconds.",
    431: "The head of the request is too large.",
    500: "A defect of ours.",
    503: "It cannot be answered now; nothing was stored.",
    504: "The outcome is unknown; send the same again with the same ids.",
    507: "The disk is full; nothing was stored.",
}


def problems(*examples: Problem) -> dict[int | str, dict[str, Any]]:
    """Answers of a route that are errors, as FastAPI's `responses` takes them. Several of one status are examples of
    one answer."""
    found: dict[int | str, dict[str, Any]] = {}
    for example in examples:
        answer = found.setdefault(example.status, _answer(example.status))
        answer["content"]["application/problem+json"]["examples"][example.code] = {"value": example.body()}
    return found


def completed(document: Document) -> Document:
    """The document with the credential and the common answers of every call, the `request-id` of every answer, and
    the form of errors.

    Changes `document` and returns it; completing it again changes nothing.
    """
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = _SCHEMES
    components.setdefault("headers", {}).update({"request-id": _REQUEST_ID, "retry-after": _RETRY_AFTER})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of errors, which nobody is answered
        components["schemas"].pop(name, None)
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            operation["security"] = [{SCHEME: []}]
            answers = operation["responses"]
            for status, example in COMMON.items():
                _add(answers, str(status), example)
            for status, answer in answers.items():
                headers = answer.setdefault("headers", {})
                headers["request-id"] = {"$ref": "#/components/headers/request-id"}
                if status in ("429", "503", "504", "507"):
                    headers["retry-after"] = {"$ref": "#/components/headers/retry-after"}
            operation["responses"] = dict(sorted(answers.items()))
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: one that is left out is not null."""
    kinds: list[dict[str, Any]] = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]


def _add(answers: dict[str, Any], status: str, example: Problem) -> None:
    answer = answers.get(status)
    if answer is None or "application/problem+json" not in answer.get("content", {}):
        answer = answers[status] = _answer(example.status)
    given = answer["content"]["application/problem+json"]["examples"]
    given.setdefault(example.code, {"value": example.body()})


def _answer(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema, "examples": {}}}
    return {"description": _WORDS[status], "content": content}
