"""GET /v1/sessions and /v1/sessions/{id}: which sessions there are, and the head of one."""

import asyncio
from typing import Any

import orjson

from turnlog_events.event import rfc3339
from turnlog_events.fold import SessionState
from turnlog_events.tokens import ENCODING
from turnlog_eventstore import SessionRow, StoreError
from turnlog_query.answer import Answer, object_answer
from turnlog_query.coverage import covered_to
from turnlog_query.cursor import ForeignCursor, decode_cursor, encode_cursor
from turnlog_query.deps import QueryDeps
from turnlog_query.errors import session_not_found
from turnlog_query.frame import POSTGRES, REDIS
from turnlog_query.stored import StoredReads
from turnlog_runtime.problems import Problem


async def list_sessions(
    deps: QueryDeps, tenant: str, *, limit: int, agent_id: str | None, user_id: str | None, cursor: str | None
) -> Answer:
    """Sessions, newest first, with a cursor to the next page (null on the last). From PostgreSQL."""
    filters = {"agent_id": agent_id, "user_id": user_id}
    before = None
    if cursor is not None:
        try:
            before = decode_cursor(cursor, tenant, filters)
        except ForeignCursor:
            message = "cursor: is not one of this list; start again without it"
            raise Problem(400, "invalid_cursor", message, "cursor") from None
    rows = await deps.store.sessions(
        tenant, limit=limit + 1, agent_id=agent_id, user_id=user_id, before_position=before
    )
    more, rows = len(rows) > limit, rows[:limit]
    next_cursor = encode_cursor(rows[-1].position, tenant, filters) if more else None
    return Answer(orjson.dumps({"sessions": [_row(row) for row in rows], "next_cursor": next_cursor}))


async def session_head(deps: QueryDeps, tenant: str, session_id: str) -> Answer:
    """The head of a session, from Redis when it can say, and how far the read model is behind PostgreSQL."""
    log = await deps.log_of(tenant)
    if deps.views is None:
        return await _stored_head(deps, tenant, log, session_id)
    asking = asyncio.ensure_future(_stored_version(deps, tenant, session_id))
    try:
        view = await deps.views.session(tenant, log, session_id)
        if view is None:
            return await _stored_head(deps, tenant, log, session_id)
        await asyncio.wait({asking}, timeout=deps.limits.confirm_s)  # a PostgreSQL that is away shall hold up nobody
        stored = asking.result() if asking.done() else None
    finally:
        asking.cancel()
    fields = {
        **_head(session_id, log, view.state),
        "read_model": _read_model(view.state.version, view.state.position, stored),
    }
    return object_answer(fields, view.state.version, view.state.revision, REDIS, deps.watch.away)


async def _stored_version(deps: QueryDeps, tenant: str, session_id: str) -> int | None:
    if deps.watch.away:
        return None  # asking would hold every answer up, and cost a connection for each that is given up
    try:
        return await deps.store.session_version(tenant, session_id)
    except StoreError:
        return None


async def _stored_head(deps: QueryDeps, tenant: str, log: str, session_id: str) -> Answer:
    stored = StoredReads(deps.store, deps.limits)
    state = await stored.state(tenant, session_id)
    if state is not None:
        fields = _head(session_id, log, state)
    else:
        state, fields = await _long_head(deps, tenant, session_id)
    fields["read_model"] = _read_model(None, None, state.version)
    return object_answer(fields, state.version, state.revision, POSTGRES, stale=False)


async def _long_head(deps: QueryDeps, tenant: str, session_id: str) -> tuple[SessionState, dict[str, Any]]:
    """The head of a session too long to be folded for one answer: what needs every turn is null."""
    row = await deps.store.session(tenant, session_id)
    if row is None:
        raise session_not_found(session_id)
    frame = await StoredReads(deps.store, deps.limits).frame(tenant, session_id)
    last = await deps.store.turns(tenant, session_id, limit=1, before_version=frame.version + 1)
    state = SessionState(
        version=frame.version,
        revision=frame.revision,
        position=last[-1].position,
        first_us=row.created_at_us,
        last_us=last[-1].recorded_at_us,
        nodes=frame.nodes,
        hidden=frame.hidden,
    )
    return state, _head(session_id, row.log, state) | {"tokens": None, "agents": None, "users": None}


def _head(session_id: str, log: str, state: SessionState) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "log": log,
        "version": state.version,
        "revision": state.revision,
        "position": state.position,
        "created_at": rfc3339(state.first_us),
        "last_at": rfc3339(state.last_us),
        "agents": list(state.agents),
        "users": list(state.users),
        "tokens": state.tokens,
        "token_counter": ENCODING,
        "covered_to": covered_to(state.nodes, state.hidden),
        "retracted": [{"from_version": start, "to_version": end} for start, end in state.hidden],
    }


def _read_model(version: int | None, position: int | None, stored: int | None) -> dict[str, Any]:
    """How far Redis is: null where it cannot say; `stored_version` is PostgreSQL's, null while it is away."""
    return {"version": version, "position": position, "stored_version": stored}


def _row(row: SessionRow) -> dict[str, Any]:
    return {
        "session_id": row.session_id,
        "log": row.log,
        "position": row.position,
        "created_at": rfc3339(row.created_at_us),
    }
