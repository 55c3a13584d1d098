"""Whose request it is. The only place that says so.

Before credentials exist a request is of the tenant `default`, unless a proxy in front authenticates and names the
tenant in a header that the operator trusts (`TURNLOG_TENANT_HEADER`).
"""

from turnlog_events.ids import DEFAULT_TENANT, is_id
from turnlog_runtime.asgi import App, Receive, Scope, Send
from turnlog_runtime.problems import Problem

_KEY = "turnlog.tenant"


def tenant_of(scope: Scope) -> str:
    """The tenant of a request, from its ASGI scope."""
    return str(scope.get(_KEY, DEFAULT_TENANT))


class TrustedTenant:
    """Takes the tenant of each request from the header called `name` (lower case), which must be there once."""

    def __init__(self, app: App, name: str) -> None:
        self._app, self._name = app, name.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `Problem` 422 without a good tenant; stands below the edge."""
        if scope["type"] == "http":
            scope[_KEY] = self._tenant(scope)
        await self._app(scope, receive, send)

    def _tenant(self, scope: Scope) -> str:
        given = [value for key, value in scope["headers"] if key == self._name]
        name = self._name.decode()
        if len(given) != 1:
            raise Problem(422, "tenant_missing", f"{name}: the proxy in front must send it once", name)
        tenant: str = given[0].decode("latin-1")
        if not is_id(tenant):
            raise Problem(422, "invalid_id", f"{name}: must be 1 to 200 characters of A-Z a-z 0-9 . _ : @ + - #", name)
        return tenant


def with_tenants(app: App, name: str) -> App:
    """The app, with tenants from the header of this name; as it is when the name is empty."""
    return TrustedTenant(app, name) if name else app


__all__ = ["TrustedTenant", "tenant_of", "with_tenants"]
