"""The HTTP face of the write side: FastAPI for the documented routes, and in front of it the hot one without it.

`POST /v1/sessions/{id}/turns` is by far the most called route, so it is recognised by its path and answered by plain
ASGI: measured, FastAPI's routing, dependency and response handling cost more than the rest of the request.
"""

import math
from functools import partial
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from turnlog_events.errors import InvalidField
from turnlog_events.ids import SESSION_ID_PATTERN, checked_session_id
from turnlog_ingest import openapi
from turnlog_ingest.answers import outcome_unknown, write_problem
from turnlog_ingest.bulk import load
from turnlog_ingest.turn_body import idempotency_key
from turnlog_ingest.writes import WriteHeaders, Writes
from turnlog_runtime.asgi import App, Edge, Receive, Scope, Send, read_body, respond
from turnlog_runtime.charges import COMPRESSIONS, TURNS, charge_of
from turnlog_runtime.deadlines import Deadlines
from turnlog_runtime.principal import Gate, open_gate, tenant_of
from turnlog_runtime.problems import Problem
from turnlog_runtime.raising import raising
from turnlog_runtime.routes import DIGITS, Paths, check_known, invalid_parameters, unambiguous

BULK_PATH = "/v1/turns"
MAX_VERSION = 2**53 - 1
SessionId = Annotated[
    str,
    Path(description="The session.", examples=["trip-to-lisbon"], json_schema_extra={"pattern": SESSION_ID_PATTERN}),
]
SPARE_S = 0.3
"""The group commit keeps the deadline itself; the edge cuts what it cannot, so much later."""


def write_headers(scope: Scope) -> WriteHeaders:
    """The headers that matter to a write. Raises `InvalidField` for a bad `Idempotency-Key`, or one header twice."""
    key = if_match = traceparent = None
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            key = _once(key, value, "Idempotency-Key")
        elif name == b"if-match":
            if_match = _once(if_match, value, "If-Match")
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return WriteHeaders(idempotency_key(key), if_match, traceparent)


def _once(before: str | None, value: bytes, name: str) -> str:
    if before is not None:
        raise InvalidField(name, "send this header once", "header_twice")
    return value.decode("latin-1")


class HotWrites:
    """Answers `POST /v1/sessions/{id}/turns`; everything else goes on to `app`."""

    def __init__(self, app: App, writes: Writes, body_max_bytes: int) -> None:
        self._app, self._writes, self._body_max_bytes = app, writes, body_max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "POST":
            raw: bytes = scope["raw_path"] or b""
            if raw.startswith(b"/v1/sessions/") and raw.endswith(b"/turns") and raw.count(b"/") == 4:
                session_id = raw[13:-6].decode("latin-1")
                if "%" in session_id:
                    session_id = unquote(session_id)
                if scope["query_string"]:
                    check_known(scope["query_string"], ())
                checked_session_id(session_id)  # before the body, which is not worth reading otherwise
                charge = charge_of(scope)
                await charge(TURNS, 1)
                body = await read_body(scope, receive, self._body_max_bytes)
                headers = write_headers(scope)
                answer = await self._writes.store_turns(tenant_of(scope), session_id, body, headers, charge)
                await respond(send, 201, answer)
                return
        await self._app(scope, receive, send)


def create_app(
    writes: Writes, body_max_bytes: int, bulk_max_bytes: int, gate: Gate = open_gate, deadline_s: float = 5.0
) -> App:
    """The write API as one ASGI app. A write takes `deadline_s` at most once its body has arrived."""
    routes = unambiguous(raising(documented(writes, body_max_bytes, bulk_max_bytes)))
    app = gate(HotWrites(routes, writes, body_max_bytes))
    return Edge(app, write_problem, _deadlines(deadline_s))


def _deadlines(deadline_s: float) -> Deadlines:
    def seconds(scope: Scope) -> float:
        return math.inf if scope["path"] == BULK_PATH else deadline_s + SPARE_S  # a load bounds each of its windows

    return Deadlines(seconds, lambda scope: outcome_unknown())


def documented(writes: Writes, body_max_bytes: int, bulk_max_bytes: int) -> FastAPI:
    """The routes with their OpenAPI descriptions."""
    app = FastAPI(
        title="Turnlog: write API",
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={RequestValidationError: _invalid, HTTPException: _no_route},
    )

    async def turns(session_id: SessionId, request: Request) -> Response:
        scope, charge = request.scope, charge_of(request.scope)
        check_known(scope["query_string"], ())
        checked_session_id(session_id)
        await charge(TURNS, 1)
        body = await read_body(scope, request.receive, body_max_bytes)
        answer = await writes.store_turns(tenant_of(scope), session_id, body, write_headers(scope), charge)
        return Response(answer, 201, media_type="application/json")

    async def bulk(request: Request) -> Response:
        check_known(request.scope["query_string"], ())
        body = await read_body(request.scope, request.receive, bulk_max_bytes, patient=True)
        scope = request.scope
        answer = await load(writes, tenant_of(scope), body, write_headers(scope), charge_of(scope))
        return Response(answer, 200, media_type="application/x-ndjson")

    async def retract(
        session_id: SessionId,
        request: Request,
        from_version: Annotated[int, Query(ge=1, le=MAX_VERSION), DIGITS],
        to_version: Annotated[int, Query(ge=1, le=MAX_VERSION), DIGITS],
        reason: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> Response:
        check_known(request.scope["query_string"], ("from_version", "to_version", "reason"))
        answer = await writes.retract(
            tenant_of(request.scope), session_id, from_version, to_version, reason, write_headers(request.scope)
        )
        return Response(answer, 200, media_type="application/json")

    async def compress(session_id: SessionId, request: Request) -> Response:
        check_known(request.scope["query_string"], ())
        if (await read_body(request.scope, request.receive, 1024)).strip() not in (b"", b"{}"):
            raise Problem(422, "unknown_field", "body: this call takes none", "body")
        await charge_of(request.scope)(COMPRESSIONS, 1)
        answer = await writes.request_compression(tenant_of(request.scope), session_id, write_headers(request.scope))
        return Response(answer, 202, media_type="application/json")

    async def store_memory(request: Request) -> Response:
        check_known(request.scope["query_string"], ())
        await charge_of(request.scope)(TURNS, 1)
        body = await read_body(request.scope, request.receive, body_max_bytes)
        answer = await writes.store_memory(tenant_of(request.scope), body, write_headers(request.scope))
        return Response(answer, 200, media_type="application/json")

    path = "/v1/sessions/{session_id}"
    app.post(f"{path}/turns", **openapi.STORE_TURNS)(turns)
    app.post(BULK_PATH, **openapi.BULK)(bulk)
    app.delete(f"{path}/turns", **openapi.RETRACT)(retract)
    app.post(f"{path}/compress", **openapi.COMPRESS)(compress)
    app.post("/tools/store_memory", **openapi.STORE_MEMORY)(store_memory)
    app.openapi = partial(openapi.document_of, app)  # type: ignore[method-assign]
    return app


async def _invalid(request: Request, error: Exception) -> Any:
    assert isinstance(error, RequestValidationError)
    raise invalid_parameters(error.errors())


async def _no_route(request: Request, error: Exception) -> Any:
    assert isinstance(error, HTTPException)
    if error.status_code not in (404, 405):
        raise error
    raise Paths(request.app.openapi()["paths"]).refusal(request.scope["raw_path"].decode("latin-1"))
