"""Which scope each call needs: the one table. What does not stand in it does not exist behind the gate.

A path is a pattern of its segments; `{}` is any one segment. Called by `gate.py`.
"""

from collections.abc import Mapping

from turnlog_runtime.principal import AUDIT, READ, WRITE
from turnlog_runtime.problems import Problem

ANY = ""
"""Any good credential: what it may do is asked again by the calls that it stands for."""
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
    ("POST", "/mcp"): ANY,
    ("POST", "/mcp/"): ANY,
}
LASTING = "/events"
"""How the paths end whose answers may last: what a credential may see is asked again with each part of them."""
OPEN = frozenset({"/openapi.json"})
"""What needs no credential; liveness, readiness and metrics are answered before the gate."""


def _methods_by_pattern() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = {}
    for (method, pattern), scope in ROUTES.items():
        table.setdefault(pattern, {})[method] = scope
    return table


_TABLE = _methods_by_pattern()
_COLLECTIONS = frozenset(pattern.partition("{}")[0] for _, pattern in ROUTES if "{}" in pattern)
_SECOND = len("/v1/")


def _pattern_of(path: str) -> str:
    """The path with `{}` for the segment that follows a collection."""
    start = path.find("/", _SECOND) + 1
    if path[:start] not in _COLLECTIONS:
        return path
    end = path.find("/", start)
    return path[:start] + "{}" + (path[end:] if end >= 0 else "")


def scope_of(method: str, path: str) -> str:
    """The scope that a call needs; HEAD needs what GET does. Raises `Problem` 404, or 405 naming what there is."""
    methods = _TABLE.get(_pattern_of(path))
    if methods is None:
        raise Problem(404, "route_not_found", "no call has this path; /openapi.json describes all there are")
    scope = methods.get("GET" if method == "HEAD" else method)
    if scope is None:
        allowed = ", ".join(sorted(methods))
        raise Problem(405, "method_not_allowed", f"this route takes {allowed}", headers={"allow": allowed})
    return scope
