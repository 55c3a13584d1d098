"""Routes of logs, for auditors."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from turnlog_query import documentation as doc
from turnlog_query import examples, params, shapes
from turnlog_query.audit import log_events, log_head
from turnlog_query.deps import QueryDeps
from turnlog_query.documentation import documented
from turnlog_query.responses import responded
from turnlog_runtime.asgi import Scope
from turnlog_runtime.principal import ADMIN, principal_of

LogName = Annotated[str, Path(description="The log.", pattern="^[a-z0-9][a-z0-9-]{0,31}$", examples=["main"])]


def audit_routes(deps: QueryDeps) -> APIRouter:
    """The routes below /v1/logs."""
    routes = APIRouter(tags=["audit"])

    @routes.get("/v1/logs/{log}", summary="Head of a log", **documented(examples.LOG, shapes.Log, doc.LOG))
    async def get_log(request: Request, log: LogName, query: Annotated[params.NoParams, Query()]) -> Response:
        """The newest position, its chain hash, and the incarnation of the log: the tenant's own, or with the scope
        `admin` any."""
        return responded(request, await log_head(deps, _whose(request.scope), log))

    @routes.get(
        "/v1/logs/{log}/events",
        summary="History of a log",
        **documented(examples.LOG_EVENTS, shapes.LogEvents, doc.LOG),
    )
    async def get_log_events(request: Request, log: LogName, query: Annotated[params.AuditParams, Query()]) -> Response:
        """The tenant's events in order, whole, with their hashes. Gaps in positions are other tenants'
        events; the scope `admin` sees all of them, in any log."""
        answer = await log_events(deps, _whose(request.scope), log, after=query.after, limit=query.limit)
        return responded(request, answer)

    return routes


def _whose(scope: Scope) -> str | None:
    """Whose events the caller sees; None for everybody's."""
    caller = principal_of(scope)
    return None if caller.may(ADMIN) else caller.tenant
