"""What a log line says of where it was written: the request being served, and the trace being recorded.

A request binds nothing but a reference to its scope (0.2 µs; three names bound by structlog took 4.5, measured): what
a line needs of it is put together only when a line is written. Whoever works outside of requests (followers, projector,
compressor) binds with `structlog.contextvars`.
"""

import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

from turnlog_events.errors import InvalidField
from turnlog_events.ids import checked_session_id
from turnlog_runtime.route_templates import route_of, session_of

REQUEST: ContextVar[MutableMapping[str, Any] | None] = ContextVar("turnlog_request", default=None)
"""The ASGI scope of the request that is being served here; set by the edge."""
_NOTED = "turnlog.noted"


def note(**facts: object) -> None:
    """Have the lines written while this request is served carry these facts too: never content, never a credential."""
    scope = REQUEST.get()
    if scope is not None:
        scope[_NOTED] = {**scope[_NOTED], **facts} if _NOTED in scope else facts


def add_request(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The request's id, method, route, session and what was noted, unless the line says them itself."""
    scope = REQUEST.get()
    if scope is not None:
        for name, value in _facts(scope).items():
            event.setdefault(name, value)
    return event


def _facts(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    path = scope["path"]
    facts: dict[str, Any] = {"request_id": scope.get("request_id"), "method": scope["method"], "route": route_of(path)}
    session_id = session_of(path)
    if session_id is not None and _is_session_id(session_id):
        facts["session_id"] = session_id
    facts.update(scope.get(_NOTED, {}))
    return facts


def _is_session_id(text: str) -> bool:
    try:
        checked_session_id(text)
    except InvalidField:
        return False
    return True


def add_trace(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The ids of the span that is being recorded, in a process that records any."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        span = trace.get_current_span()
        if span.is_recording():
            context = span.get_span_context()
            event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return event
