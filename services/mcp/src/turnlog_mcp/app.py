"""The MCP endpoint as one ASGI app: POST /mcp, for the stateless protocol and for the handshake before it.

Edge (request id, deadline, errors) → Door (host, origin) → gate (who?) → OneMessage (its form) → the SDK
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from turnlog_mcp.api import Api
from turnlog_mcp.door import Allowed, Door
from turnlog_mcp.one_message import OneMessage
from turnlog_mcp.server import memory_server
from turnlog_runtime.asgi import App, Edge, Scope
from turnlog_runtime.deadlines import Deadlines
from turnlog_runtime.principal import Gate, open_gate
from turnlog_runtime.problems import Problem

SPARE_S = 1.0
"""Calls to the API keep their deadline themselves; the edge cuts what else may hang, so much later."""


@asynccontextmanager
async def create_app(
    api: Api,
    gate: Gate = open_gate,
    *,
    allowed: Allowed,
    call_s: float,
    body_max_bytes: int,
    answer_max_chars: int,
) -> AsyncIterator[App]:
    """The app, with the SDK's tasks running. Stateless: any replica answers any request. `call_s` is how long the API
    may take for a request."""
    sdk = StreamableHTTPSessionManager(
        app=memory_server(api, answer_max_chars),
        stateless=True,
        json_response=True,
        max_request_body_size=body_max_bytes,
    )
    async with sdk.run():
        inner = gate(OneMessage(sdk.handle_request, body_max_bytes))
        yield Edge(Door(inner, allowed), _nothing_else, _deadlines(call_s + SPARE_S))


def _nothing_else(error: Exception) -> Problem | None:
    return None


def _deadlines(seconds: float) -> Deadlines:
    def late(scope: Scope) -> Problem:
        message = "the answer took too long; whether a turn was stored is unknown: repeat the call with its turn_id"
        return Problem(504, "outcome_unknown", message, retry_after_s=1)

    return Deadlines(lambda scope: seconds, late)
