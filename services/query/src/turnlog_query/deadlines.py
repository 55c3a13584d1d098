"""How long a read may take: the limit, and what it asked to wait for the read model on top."""

from turnlog_query.errors import deadline_exceeded
from turnlog_query.limits import Limits
from turnlog_query.params import WAIT_MS_DEFAULT
from turnlog_runtime.asgi import Scope
from turnlog_runtime.deadlines import Deadlines

_WAIT, _MIN_VERSION = b"wait_ms=", b"min_version="


def read_deadlines(limits: Limits) -> Deadlines:
    """The deadlines of the read API. Live streams lift theirs once they are open."""

    def seconds(scope: Scope) -> float:
        query: bytes = scope["query_string"]
        if _WAIT in query:
            return limits.read_s + min(asked_wait_s(query), limits.wait_max_s)
        return limits.read_s + (min(WAIT_MS_DEFAULT / 1000, limits.wait_max_s) if _MIN_VERSION in query else 0.0)

    return Deadlines(seconds, lambda scope: deadline_exceeded())


def asked_wait_s(query: bytes) -> float:
    """The `wait_ms` of a query string, in seconds; 0 for one that is none (the route refuses it)."""
    for part in query.split(b"&"):
        if part.startswith(_WAIT):
            digits = part[len(_WAIT) :]
            return int(digits) / 1000 if digits.isdigit() and len(digits) < 10 else 0.0
    return 0.0
