"""Errors of the read API, and what each error of our libraries becomes: the one place that decides on
statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException

from turnlog_eventstore import SchemaMissing, StoreError, UnknownLog
from turnlog_runtime.problems import Problem

RETRY_AFTER_S = 1

_CODES: Mapping[str, str] = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_parameter",
    "greater_than_equal": "out_of_range",
    "less_than_equal": "out_of_range",
    "int_parsing": "invalid_integer",
    "int_parsing_size": "out_of_range",
    "int_from_float": "invalid_integer",
    "literal_error": "unknown_value",
}


def session_not_found(session_id: str) -> Problem:
    """404; decided from PostgreSQL, never from a cache miss."""
    return Problem(404, "session_not_found", f"session {session_id} has no turn", "session_id")


def version_not_reached(version: int, min_version: int) -> Problem:
    """409: the client asks for a version that was never stored."""
    message = f"min_version: the session is at version {version}, below {min_version}"
    return Problem(409, "version_not_reached", message, "min_version")


def deadline_exceeded() -> Problem:
    """503: the answer was not ready in time."""
    message = "the read took longer than it may; try again"
    return Problem(503, "deadline_exceeded", message, retry_after_s=RETRY_AFTER_S)


def invalid_parameters(errors: Sequence[Any]) -> Problem:
    """422 that names the first wrong parameter, from pydantic's list of errors."""
    error = errors[0]
    param = ".".join(str(part) for part in error["loc"][1:]) or None
    code = _CODES.get(error["type"], "invalid_parameter")
    said = "is not a parameter of this call" if code == "unknown_parameter" else error["msg"]
    return Problem(422, code, f"{param}: {said}" if param else str(said), param)


def problem_for(error: Exception) -> Problem | None:
    """What a client is told of an error that is no `Problem` yet; None for one that is a defect of ours."""
    if isinstance(error, UnknownLog):
        return Problem(404, "log_not_found", f"log {error.log} does not exist", "log")
    if isinstance(error, SchemaMissing):
        return Problem(503, "not_migrated", str(error), retry_after_s=5)
    if isinstance(error, StoreError):
        return Problem(
            503,
            "store_unavailable",
            "the read model cannot answer this and PostgreSQL is away; try again",
            retry_after_s=RETRY_AFTER_S,
        )
    if isinstance(error, HTTPException):
        codes = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
        return Problem(
            error.status_code,
            codes.get(error.status_code, "invalid_request"),
            str(error.detail),
            headers=error.headers,
        )
    return None
