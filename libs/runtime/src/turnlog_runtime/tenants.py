"""The gate of a process that checks no credentials (`TURNLOG_AUTH=off`): everybody is the tenant `default`, or the one
that a proxy in front names, which authenticates (`TURNLOG_TENANT_HEADER`)."""

from dataclasses import replace

from turnlog_events.ids import is_id
from turnlog_runtime.asgi import App, Receive, Scope, Send
from turnlog_runtime.door_settings import DoorSettings
from turnlog_runtime.principal import ANYBODY, Gate, identify, open_gate
from turnlog_runtime.problems import Problem


class TrustedTenant:
    """Takes the tenant of each request from the header called `name` (lower case), which must be there once."""

    def __init__(self, app: App, name: str) -> None:
        self._app, self._name = app, name.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `Problem` 422 without a good tenant; stands below the edge."""
        if scope["type"] == "http":
            identify(scope, replace(ANYBODY, tenant=self._tenant(scope)))
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


def tenant_header_gate(name: str) -> Gate:
    """A gate that takes tenants from the header of this name; open when the name is empty."""
    return (lambda app: TrustedTenant(app, name)) if name else open_gate


def unchecked_gate(settings: DoorSettings) -> Gate:
    """The gate of a service that was given none. Raises `ValueError` where the settings require credentials: such a
    service must be given a gate that checks them, and is never open by mistake."""
    if settings.auth != "off":
        raise ValueError("credentials are required, so a gate that checks them must be given (turnlog_access.door)")
    return tenant_header_gate(settings.tenant_header)
