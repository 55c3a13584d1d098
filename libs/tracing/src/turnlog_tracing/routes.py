"""The route of a path, as its template: what may stand in a span's name. Pure."""

from collections.abc import Mapping
from urllib.parse import unquote

from turnlog_events.ids import AGENT_SESSION_PREFIX, is_id

TEMPLATES = (
    "/v1/turns",
    "/v1/sessions",
    "/v1/sessions/{session_id}",
    "/v1/sessions/{session_id}/turns",
    "/v1/sessions/{session_id}/compress",
    "/v1/sessions/{session_id}/summary",
    "/v1/sessions/{session_id}/context",
    "/v1/sessions/{session_id}/events",
    "/v1/tasks/{task_id}",
    "/v1/logs/{log}",
    "/v1/logs/{log}/events",
    "/tools/store_memory",
    "/tools/get_recent_turns",
    "/tools/get_compressed_memory",
    "/mcp",
    "/openapi.json",
)
_COLLECTIONS = frozenset({"sessions", "tasks", "logs"})
_SESSIONS = "/v1/sessions/"


def _form_of(path: str) -> str:
    parts = path.split("/", 4)
    if len(parts) > 3 and parts[2] in _COLLECTIONS:
        parts[3] = "{}"
    return "/".join(parts)


_BY_FORM: Mapping[str, str] = {_form_of(template): template for template in TEMPLATES}


def route_of(path: str) -> str | None:
    """The template that a path follows; None for one that no route has, which may hold anything."""
    return _BY_FORM.get(_form_of(path)) or (TEMPLATES[-2] if path == "/mcp/" else None)


def session_of(path: str) -> str | None:
    """The session that a path of a route names; None where there is none, or none that could be."""
    if not path.startswith(_SESSIONS):
        return None
    name = unquote(path[len(_SESSIONS) :].partition("/")[0])
    return name if is_id(name.removeprefix(AGENT_SESSION_PREFIX)) else None
