"""Routes of sessions and tasks: thin; each calls one service function."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from turnlog_events.ids import ID_PATTERN, SESSION_ID_PATTERN, checked_id, checked_session_id
from turnlog_query import documentation as doc
from turnlog_query import examples, params, shapes
from turnlog_query.deps import QueryDeps
from turnlog_query.documentation import documented
from turnlog_query.reading import AtLeast, Span
from turnlog_query.recall import context_of
from turnlog_query.responses import responded
from turnlog_query.sessions import list_sessions, session_head
from turnlog_query.stream import SessionStream
from turnlog_query.stream_response import StreamResponse
from turnlog_query.summary import summary_of
from turnlog_query.tasks import task_of
from turnlog_query.turns import turns_of
from turnlog_runtime.principal import tenant_of
from turnlog_runtime.problems import Problem

SessionId = Annotated[
    str,
    Path(description="The session.", examples=["trip-to-lisbon"], json_schema_extra={"pattern": SESSION_ID_PATTERN}),
]
TaskId = Annotated[
    str, Path(description="The task, as `POST …/compress` named it.", json_schema_extra={"pattern": ID_PATTERN})
]
IfNoneMatch = Annotated[str | None, Header(description='A tag as of `ETag`: `"v12.s3"`.')]
LastEventId = Annotated[
    str | None,
    Header(description="The id of the last event received: a version.", json_schema_extra={"pattern": "^[0-9]{1,16}$"}),
]


def session_routes(deps: QueryDeps) -> APIRouter:
    """The routes below /v1/sessions and /v1/tasks."""
    routes = APIRouter(tags=["sessions"])
    _add_reads(routes, deps)
    _add_memory(routes, deps)
    _add_stream(routes, deps)

    @routes.get(
        "/v1/tasks/{task_id}", summary="State of a compression task", **documented(examples.TASK, shapes.Task, doc.TASK)
    )
    async def get_task(request: Request, task_id: TaskId, query: Annotated[params.NoParams, Query()]) -> Response:
        """`queued`, `running`, `done` (with the summary made), `failed` or `skipped` (with the reason)."""
        task = checked_id(task_id, "task_id")
        return responded(request, await task_of(deps, tenant_of(request.scope), task))

    return routes


def _add_reads(routes: APIRouter, deps: QueryDeps) -> None:
    @routes.get(
        "/v1/sessions", summary="Sessions, newest first", **documented(examples.SESSIONS, shapes.Sessions, doc.CURSOR)
    )
    async def get_sessions(request: Request, query: Annotated[params.SessionsParams, Query()]) -> Response:
        """All sessions of the tenant, or those of an agent or a user, by creation."""
        agent_id = checked_id(query.agent_id, "agent_id") if query.agent_id is not None else None
        user_id = checked_id(query.user_id, "user_id") if query.user_id is not None else None
        answer = await list_sessions(
            deps,
            tenant_of(request.scope),
            limit=query.limit,
            agent_id=agent_id,
            user_id=user_id,
            cursor=query.cursor,
        )
        return responded(request, answer)

    @routes.get(
        "/v1/sessions/{session_id}",
        summary="Head of a session",
        **documented(examples.HEAD, shapes.Head, *doc.SESSION, tagged=True),
    )
    async def get_session(
        request: Request,
        session_id: SessionId,
        query: Annotated[params.NoParams, Query()],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Version, times, members, tokens, what the summary covers, and how far the read model is."""
        session = checked_session_id(session_id)
        return responded(request, await session_head(deps, tenant_of(request.scope), session))

    @routes.get(
        "/v1/sessions/{session_id}/turns",
        summary="Recent turns",
        **documented(examples.TURNS, shapes.Turns, *doc.AT_VERSION, tagged=True),
    )
    async def get_turns(
        request: Request,
        session_id: SessionId,
        query: Annotated[params.TurnsParams, Query()],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """The newest `limit` turns, oldest first; with `after_version` the first `limit` after it. `source`
        says which store answered; `stale: true` that PostgreSQL is away and Redis could not be checked."""
        session = checked_session_id(session_id)
        agent_id = checked_id(query.agent_id, "agent_id") if query.agent_id is not None else None
        span = Span(query.limit, query.after_version, query.before_version, agent_id)
        at_least = AtLeast(query.min_version, query.wait_ms, query.fresh)
        return responded(request, await turns_of(deps, tenant_of(request.scope), session, span, at_least))


def _add_memory(routes: APIRouter, deps: QueryDeps) -> None:
    @routes.get(
        "/v1/sessions/{session_id}/summary",
        summary="Rolling summary",
        **documented(examples.SUMMARY, shapes.Summary, *doc.AT_VERSION, tagged=True),
    )
    async def get_summary(
        request: Request,
        session_id: SessionId,
        query: Annotated[params.SummaryParams, Query()],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Text that covers turns 1 to `covered_to`, the turns it was taken from, and each stored summary
        behind it with model, prompt version, range and time. A session without one has an empty text."""
        session = checked_session_id(session_id)
        at_least = AtLeast(query.min_version, query.wait_ms, query.fresh)
        answer = await summary_of(deps, tenant_of(request.scope), session, query.max_tokens, at_least)
        return responded(request, answer)

    @routes.get(
        "/v1/sessions/{session_id}/context",
        summary="What to put in a prompt",
        **documented(examples.CONTEXT, shapes.Context, *doc.AT_VERSION, tagged=True),
    )
    async def get_context(
        request: Request,
        session_id: SessionId,
        query: Annotated[params.ContextParams, Query()],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """The summary up to v and the newest turns after v within `max_tokens`, as messages of OpenAI's or
        Anthropic's API, or as text. A tool call and its result stay together; what is left out is named."""
        answer = await context_of(
            deps,
            tenant_of(request.scope),
            checked_session_id(session_id),
            max_tokens=query.max_tokens,
            form=query.format,
            at_least=AtLeast(query.min_version, query.wait_ms, query.fresh),
            if_none_match=if_none_match,
        )
        return responded(request, answer)


def _add_stream(routes: APIRouter, deps: QueryDeps) -> None:
    @routes.get(
        "/v1/sessions/{session_id}/events",
        summary="Live events",
        response_class=Response,
        **documented(examples.STREAM, None, *doc.AT_VERSION, doc.OLD_HTTP, doc.STREAMS, media_type="text/event-stream"),
    )
    async def get_events(
        request: Request,
        session_id: SessionId,
        query: Annotated[params.StreamParams, Query()],
        last_event_id: LastEventId = None,
    ) -> Response:
        """Server-sent events `turn`, `retracted` and `summarized`, from any version on and then live. The
        id of an event is the version it leaves the session at. A client too slow is sent `cut` with its
        last id."""
        if (
            request.scope["http_version"] == "1.0"
        ):  # which has no way to send an answer of unknown length and know its end
            raise doc.OLD_HTTP
        after = query.after_version or 0
        if last_event_id is not None:
            after = _event_id(last_event_id)
        stream = SessionStream(deps, tenant_of(request.scope), checked_session_id(session_id), after)
        await stream.open()
        return StreamResponse(stream.chunks(), deps.limits.stream_send_s)


def _event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(params.VERSION_MAX))):
        message = "Last-Event-ID: must be the id of an event of this stream, a version"
        raise Problem(422, "invalid_integer", message, "Last-Event-ID")
    return int(text)
