"""Errors as clients see them: one form, RFC 9457 problem details with the `error` member.

    {"type": "about:blank", "title": …, "status": 422, "detail": …,
     "error": {"type": "invalid_request", "message": …, "code": "invalid_id", "param": "session_id"}}

Whatever raises a `Problem` (or an `InvalidField` of the event model) below the ASGI edge is answered so; every other
exception is a 500 that says nothing of its cause and is logged with the request id.
"""

from collections.abc import Mapping
from http import HTTPStatus

import orjson

from turnlog_events.errors import InvalidField
from turnlog_events.strict_json import ForeignEncoding, MalformedJson

_TYPES = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    414: "too_large",
    415: "invalid_request",
    422: "invalid_request",
    429: "rate_limit",
    431: "too_large",
    503: "unavailable",
    504: "unavailable",
    507: "unavailable",
}


MESSAGE_MAX_CHARS, PARAM_MAX_CHARS = 1_000, 200


def _clear(text: str, max_chars: int) -> str:
    """Words that may hold what a client sent (the name of an unknown field): cut, and valid Unicode."""
    cut = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


class Problem(Exception):
    """An answer that is an error: `code` for machines, `message` names the field and the fix, `param` the field."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(retry_after_s)

    def body(self) -> dict[str, object]:
        """The problem as a JSON object."""
        kind = _TYPES.get(self.status, "internal" if self.status >= 500 else "invalid_request")
        message = _clear(self.message, MESSAGE_MAX_CHARS)
        param = None if self.param is None else _clear(self.param, PARAM_MAX_CHARS)
        error = {"type": kind, "message": message, "code": self.code, "param": param}
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": message,
            "error": error,
        }

    def render(self) -> bytes:
        """The problem as bytes."""
        return orjson.dumps(self.body())


def problem_of(error: InvalidField) -> Problem:
    """What the client is told of a field that breaks a rule."""
    status = 400 if isinstance(error, MalformedJson) else 415 if isinstance(error, ForeignEncoding) else 422
    return Problem(status, error.code, str(error), error.field)


def route_not_found() -> Problem:
    """404: no call has this path."""
    return Problem(404, "route_not_found", "no call has this path; /openapi.json describes all there are")


def method_not_allowed(allowed: str) -> Problem:
    """405 with the methods that the path knows, as `GET, HEAD`."""
    message = f"this path takes {allowed}"
    return Problem(405, "method_not_allowed", message, headers={"allow": allowed} if allowed else {})


INTERNAL = Problem(500, "internal", "something failed on our side; it is logged under this request-id")
