"""The running MCP endpoint around its app, by the settings. Called by `__main__` and by the API in one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from turnlog_mcp.api import Calling, HttpApi
from turnlog_mcp.app import create_app
from turnlog_mcp.door import Allowed
from turnlog_runtime.asgi import App
from turnlog_runtime.principal import Gate
from turnlog_runtime.settings import McpSettings
from turnlog_runtime.tenants import tenant_header_gate

IN_PROCESS_URL = "http://127.0.0.1"
CONNECTIONS_MAX = 100


def api_at(settings: McpSettings, url: str, calling: Calling | None = None) -> HttpApi:
    """The API at an address, called over HTTP."""
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    return HttpApi(url, httpx.AsyncHTTPTransport(limits=limits), settings.mcp_call_s, settings.tenant_header, calling)


def api_of(settings: McpSettings, app: App, calling: Calling | None = None) -> HttpApi:
    """The API that is `app`, called in this process: through its own gate and edge, without a socket. So it can still
    be called while this process leaves and no longer listens."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return HttpApi(IN_PROCESS_URL, transport, settings.mcp_call_s, settings.tenant_header, calling)


@asynccontextmanager
async def mcp(api: HttpApi, settings: McpSettings, gate: Gate | None = None) -> AsyncIterator[App]:
    """The MCP endpoint. `gate` says who is let in; by default the settings' tenant header."""
    allowed = Allowed(settings.mcp_hosts, settings.mcp_origins)
    async with create_app(
        api,
        gate or tenant_header_gate(settings.tenant_header),
        allowed=allowed,
        call_s=settings.mcp_call_s,
        body_max_bytes=settings.mcp_body_max_bytes,
        answer_max_chars=settings.mcp_answer_max_chars,
    ) as app:
        try:
            yield app
        finally:
            await api.close()
