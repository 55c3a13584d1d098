"""Which HTTP status each failure of a write becomes: the one place in this service that decides on it."""

from turnlog_eventstore import DiskFull, OutcomeUnknown, SchemaMissing, StoreError, UnknownLog
from turnlog_follow.fence import Fenced
from turnlog_runtime.problems import Problem


def write_problem(error: Exception) -> Problem | None:
    """503 and 507: not stored, try again. 504: unknown, try again with the same ids. None: a defect of ours."""
    if isinstance(error, OutcomeUnknown):
        return outcome_unknown()
    if isinstance(error, Fenced):
        return Problem(503, "log_fenced", f"writes are refused until an operator decides: {error}", retry_after_s=30)
    if isinstance(error, (SchemaMissing, UnknownLog)):
        return Problem(503, "not_migrated", f"nothing was stored: {error}", retry_after_s=5)
    if isinstance(error, DiskFull):
        return Problem(507, "disk_full", f"nothing was stored: {error}; an operator must make room", retry_after_s=30)
    if isinstance(error, StoreError):
        return Problem(503, "store_unavailable", f"nothing was stored; try again: {error}", retry_after_s=1)
    return None


def outcome_unknown() -> Problem:
    """504: a commit may be under way."""
    message = "the write may or may not be stored; send it again with the same turn_id (or Idempotency-Key)"
    return Problem(504, "outcome_unknown", message, retry_after_s=1)
