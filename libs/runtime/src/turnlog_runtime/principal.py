"""Who asks, and what they may do: set once by whatever stands at the door of a service, read by every route.

Where nothing checks credentials everybody is `ANYBODY`: the tenant `default` with every scope but `admin`.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from turnlog_events.ids import DEFAULT_TENANT
from turnlog_runtime.problems import Problem

Scope = MutableMapping[str, Any]
_KEY = "turnlog.principal"

WRITE, READ, AUDIT, ADMIN = "memory:write", "memory:read", "audit:read", "admin"
SCOPES = frozenset({WRITE, READ, AUDIT, ADMIN})


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `credential` names what it showed (an API key's id, a token's issuer and subject; "" for nothing) and
    is what limits count by; it is no secret and may be logged."""

    tenant: str
    scopes: frozenset[str]
    credential: str = ""

    def may(self, scope: str) -> bool:
        """Whether it holds a scope; `admin` holds all."""
        return scope in self.scopes or ADMIN in self.scopes


ANYBODY = Principal(DEFAULT_TENANT, frozenset({WRITE, READ, AUDIT}))
NOBODY = Principal("", frozenset())
"""Whoever asks for what needs no credential, where credentials are checked: of no tenant, at nobody's cost."""


def principal_of(scope: Scope) -> Principal:
    """Who makes a request, from its ASGI scope."""
    found: Principal = scope.get(_KEY, ANYBODY)
    return found


def tenant_of(scope: Scope) -> str:
    """The tenant of a request: from its credential, never from its body."""
    return principal_of(scope).tenant


def identify(scope: Scope, principal: Principal) -> None:
    """Say who makes a request."""
    scope[_KEY] = principal


def require(scope: Scope, needed: str) -> None:
    """Raise `Problem` 403 unless the caller holds the scope `needed`."""
    if not principal_of(scope).may(needed):
        raise Problem(403, "scope_missing", f"this call needs the scope {needed}; use a credential that has it")


Gate = Callable[[Any], Any]
"""What stands between the edge and an app: takes the ASGI app, gives one that lets in whom it should."""


def open_gate(app: Any) -> Any:
    """Everybody is let in as `ANYBODY`."""
    return app


def in_order(*gates: Gate) -> Gate:
    """Several gates as one: the first is the outermost, which a request meets first."""

    def gate(app: Any) -> Any:
        for inner in reversed(gates):
            app = inner(app)
        return app

    return gate
