"""Errors of the read API, and what each error of our libraries becomes: the one place that decides on
statuses."""

from turnlog_eventstore import SchemaMissing, StoreError, UnknownLog
from turnlog_runtime.problems import Problem

RETRY_AFTER_S = 1


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
    return None
