"""Routes of the prototype's tools. Bodies are read and checked strictly by ourselves, not by FastAPI."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from turnlog_query import documentation as doc
from turnlog_query import examples, shapes
from turnlog_query.deps import QueryDeps
from turnlog_query.documentation import documented, tool_body
from turnlog_query.responses import responded
from turnlog_query.tools import compressed_memory, recent_turns, tool_call
from turnlog_runtime.asgi import read_body
from turnlog_runtime.principal import tenant_of

BODY_MAX_BYTES = 64 * 1024


def tool_routes(deps: QueryDeps) -> APIRouter:
    """The routes below /tools."""
    routes = APIRouter(tags=["tools"])

    @routes.post(
        "/tools/get_recent_turns",
        summary="Recent turns of an agent",
        openapi_extra=tool_body(examples.TOOL_RECENT_CALL, takes_limit=True),
        **documented(examples.TOOL_RECENT, shapes.AgentTurns, *doc.BODY, tagged=True),
    )
    async def get_recent_turns(request: Request) -> Response:
        """The newest turns of a session, or of the agent's own when none is named."""
        call = tool_call(await _body(request), takes_limit=True)
        return responded(request, await recent_turns(deps, tenant_of(request.scope), call))

    @routes.post(
        "/tools/get_compressed_memory",
        summary="Compressed memory of an agent",
        openapi_extra=tool_body(examples.TOOL_MEMORY_CALL, takes_limit=False),
        **documented(examples.TOOL_MEMORY, shapes.AgentMemory, *doc.BODY, tagged=True),
    )
    async def get_compressed_memory(request: Request) -> Response:
        """The summary up to `covered_to` and every turn after it."""
        call = tool_call(await _body(request), takes_limit=False)
        return responded(request, await compressed_memory(deps, tenant_of(request.scope), call))

    return routes


async def _body(request: Request) -> bytes:
    return await read_body(request.scope, request.receive, BODY_MAX_BYTES)
