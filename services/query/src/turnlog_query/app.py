"""The read API as one ASGI app: FastAPI for the documented routes, a short cut for the hottest in front."""

from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from turnlog_query.deadlines import read_deadlines
from turnlog_query.deps import QueryDeps
from turnlog_query.document import document_of
from turnlog_query.errors import problem_for
from turnlog_query.fast_turns import FastTurns
from turnlog_query.routes_audit import audit_routes
from turnlog_query.routes_sessions import session_routes
from turnlog_query.routes_tools import tool_routes
from turnlog_runtime.asgi import App, Edge
from turnlog_runtime.principal import Gate, open_gate
from turnlog_runtime.raising import raising
from turnlog_runtime.routes import Paths, invalid_parameters, unambiguous

OPENAPI = "/openapi.json"
DESCRIPTION = """Reads of Turnlog, the memory log of AI agents: recent turns, rolling summary, context within a token
budget, live events, and the history for auditors. Errors are `application/problem+json` (RFC 9457) with the member
`error: {type, message, code, param}`. Reads of a session carry `ETag: "v<version>.s<revision>"`; `If-None-Match` with
it is answered 304."""


def create_app(deps: QueryDeps, gate: Gate = open_gate, whole: bytes | None = None) -> App:
    """The app, behind the edge that gives errors their form. `background(deps, stop)` must run beside it. `whole`
    is the document of the whole API, where `/openapi.json` shall answer with more than this half."""
    api = FastAPI(
        title="Turnlog: read API",
        version="0.1.0",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if whole else OPENAPI,
        redirect_slashes=False,
        exception_handlers={RequestValidationError: _invalid, HTTPException: _no_route},
    )
    routers = (session_routes(deps), audit_routes(deps), tool_routes(deps))
    for router in routers:
        api.include_router(router)
    if whole:
        api.add_route(OPENAPI, partial(_whole, whole), include_in_schema=False)
    api.openapi = partial(document_of, api, routers)  # type: ignore[method-assign]
    app = gate(FastTurns(deps, unambiguous(raising(api))))
    return Edge(app, problem_for, read_deadlines(deps.limits))


async def _whole(document: bytes, request: Request) -> Response:
    return Response(document, media_type="application/json")


async def _invalid(request: Request, error: Exception) -> Any:
    assert isinstance(error, RequestValidationError)
    raise invalid_parameters(error.errors())


async def _no_route(request: Request, error: Exception) -> Any:
    assert isinstance(error, HTTPException)
    if error.status_code not in (404, 405):
        raise error
    raise Paths(request.app.openapi()["paths"]).refusal(request.scope["raw_path"].decode("latin-1"))
