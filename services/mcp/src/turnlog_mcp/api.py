"""The HTTP API as the caller of an MCP request may use it: the caller's own credential goes on, and time is bounded.

Enters: the HTTP request that carried an MCP message, or None over stdio. Leaves: a `turnlog_client.AsyncClient` that
speaks as that caller. So identity, scopes and limits are enforced by the API alone; nothing here decides on them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import Protocol

import httpx
from starlette.requests import Request

from turnlog_client import AsyncClient, RetryPolicy, Unavailable

CONNECT_S = 5.0
CHALLENGE = "turnlog.mcp.challenge"
"""Where in an ASGI scope it is noted that the API refused the caller's credential: its `WWW-Authenticate`."""
_PASSED_ON = ("authorization", "traceparent", "tracestate")


Calling = Callable[[str, str | None], AbstractContextManager[str | None]]
"""Entered around what is done for a caller, with the memory operation it is ("" for none) and the `traceparent` of the
request; what it gives is the `traceparent` to pass on."""
Asked = Request | None
"""The HTTP request that carried an MCP message; None over stdio."""


class Api(Protocol):
    """The API for callers of MCP."""

    def for_caller(self, request: Asked, operation: str = "") -> AbstractAsyncContextManager[AsyncClient]:
        """A client that speaks as the caller, for an operation on the memory ("": for anything else). What is done
        within raises `turnlog_client`'s errors, `Unavailable` also when it takes too long."""


class ClientApi:
    """The API for the one caller whose client it is."""

    def __init__(self, client: AsyncClient, call_s: float) -> None:
        """A caller's work may take `call_s` seconds in all, repeated calls included."""
        self._client, self._call_s = client, call_s

    @asynccontextmanager
    async def for_caller(self, request: Asked, operation: str = "") -> AsyncIterator[AsyncClient]:
        """See `Api`."""
        async with _bounded(self._call_s):
            yield self._client


class HttpApi:
    """The API for whoever sends a request, over a pool of connections, or an app in this process."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport,
        call_s: float,
        tenant_header: str = "",
        calling: Calling | None = None,
    ) -> None:
        """A caller's work may take `call_s` seconds in all, repeated calls included. `tenant_header` is the one in
        which a trusted proxy names the tenant."""
        self._calling = calling
        self.url = url.rstrip("/")
        self._transport, self._call_s = transport, call_s
        self._passed_on = (*_PASSED_ON, tenant_header) if tenant_header else _PASSED_ON

    @asynccontextmanager
    async def for_caller(self, request: Asked, operation: str = "") -> AsyncIterator[AsyncClient]:
        """See `Api`."""

        async def note_refusal(response: httpx.Response) -> None:
            if response.status_code == 401 and request is not None:
                request.scope[CHALLENGE] = response.headers.get("www-authenticate", "Bearer")

        headers = self._headers_of(request)
        calling = self._calling(operation, headers.get("traceparent")) if self._calling else nullcontext()
        # Not closed at the end: it owns nothing, and the transport is everybody's.
        http = httpx.AsyncClient(
            base_url=self.url,
            transport=self._transport,
            headers=headers,
            timeout=httpx.Timeout(self._call_s, connect=min(self._call_s, CONNECT_S)),
            event_hooks={"response": [note_refusal]},
            trust_env=False,
        )
        with calling as traceparent:
            if traceparent is not None:
                http.headers["traceparent"] = traceparent
            async with _bounded(self._call_s):
                yield AsyncClient(self.url, http=http, retry=RetryPolicy(total_s=self._call_s))

    async def ready(self) -> None:
        """Return when the API says that it is ready. Raises httpx's errors."""
        http = httpx.AsyncClient(transport=self._transport, timeout=CONNECT_S, trust_env=False)
        (await http.get(f"{self.url}/readyz")).raise_for_status()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _headers_of(self, request: Asked) -> dict[str, str]:
        if request is None:
            return {}
        passed_on = {name: value for name in self._passed_on if (value := request.headers.get(name)) is not None}
        request_id = request.scope.get("request_id")
        return passed_on | ({"x-request-id": request_id} if request_id else {})


@asynccontextmanager
async def _bounded(call_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(call_s):
            yield
    except TimeoutError:
        raise Unavailable(f"no answer within {call_s:g} s", outcome_unknown=True) from None
