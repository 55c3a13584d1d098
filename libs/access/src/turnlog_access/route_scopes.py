"""Which scope each call needs: the one table. What does not stand in it does not exist behind the gate.

A path is a pattern of its segments; `{}` is any one segment. Called by `gate.py`.
"""

from collections.abc import Mapping

from turnlog_runtime.principal import AUDIT, READ, WRITE
from turnlog_runtime.problems import Problem

ROUTES: Mapping[tuple[str, str], str] = {
    ("POST", "/v1/sessions/{}/turns"): WRITE,
    ("GET", "/v1/sessions/{}/turns"): READ,
    ("DELETE", "/v1/sessions/{}/turns"): WRITE,
    ("POST", "/v1/sessions/{}/compress"): WRITE,
    ("POST", "/v1/turns"): WRITE,
    ("GET", "/v1/sessions"): READ,
    ("GET", "/v1/sessions/{}"): READ,
    ("GET", "/v1/sessions/{}/summary"): READ,
    ("GET", "/v1/sessions/{}/context"): READ,
    ("GET", "/v1/sessions/{}/events"): READ,
    ("GET", "/v1/tasks/{}"): READ,
    ("GET", "/v1/logs/{}"): AUDIT,
    ("GET", "/v1/logs/{}/events"): AUDIT,
    ("POST", "/tools/store_memory"): WRITE,
    ("POST", "/tools/get_recent_turns"): READ,
    ("POST", "/tools/get_compressed_memory"): READ,
}
OPEN = frozenset({"/openapi.json"})
"""What needs no credential; liveness, readiness and metrics are answered before the gate."""

_Shape = tuple[str, ...]


def _methods_by_shape() -> dict[_Shape, dict[str, str]]:
    table: dict[_Shape, dict[str, str]] = {}
    for (method, pattern), scope in ROUTES.items():
        table.setdefault(tuple(pattern.split("/")), {})[method] = scope
    return table


_TABLE = _methods_by_shape()
_COLLECTIONS = frozenset(shape[:3] for shape in _TABLE if len(shape) > 3 and shape[3] == "{}")
"""The segments before a `{}`, which is the fourth where there is one."""


def scope_of(method: str, path: str) -> str:
    """The scope that a call needs; HEAD needs what GET does. Raises `Problem` 404, or 405 naming what there is."""
    parts = path.split("/")
    if len(parts) > 3 and tuple(parts[:3]) in _COLLECTIONS:
        parts[3] = "{}"
    methods = _TABLE.get(tuple(parts))
    if methods is None:
        raise Problem(404, "not_found", "there is no such route; /openapi.json describes those there are")
    scope = methods.get("GET" if method == "HEAD" else method)
    if scope is None:
        allowed = ", ".join(sorted(methods))
        raise Problem(405, "method_not_allowed", f"this route takes {allowed}", headers={"allow": allowed})
    return scope
