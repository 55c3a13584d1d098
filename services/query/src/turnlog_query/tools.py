"""POST /tools/get_recent_turns and /tools/get_compressed_memory: the prototype's tools, for its clients.

Without a `session_id` they read the agent's own session, which holds what `store_memory` stored without one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from turnlog_events.errors import InvalidField
from turnlog_events.ids import agent_session, checked_id, checked_session_id
from turnlog_events.strict_json import parse
from turnlog_events.tokens import ENCODING
from turnlog_eventstore import StoreError
from turnlog_query.answer import Answer, object_answer
from turnlog_query.coverage import coverage_of
from turnlog_query.deps import QueryDeps
from turnlog_query.frame import POSTGRES, Frame, Page
from turnlog_query.params import LIMIT_DEFAULT, LIMIT_MAX
from turnlog_query.reading import Reading
from turnlog_query.stored import Turn
from turnlog_runtime.problems import Problem


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a tool was asked. `own`: no session was named, so it is the agent's own."""

    agent_id: str
    session_id: str
    own: bool
    limit: int = LIMIT_DEFAULT


def tool_call(body: bytes, *, takes_limit: bool) -> ToolCall:
    """The call in a request body. Raises `InvalidField` that names the field."""
    data = parse(body)
    if not isinstance(data, dict):
        raise InvalidField("body", "must be a JSON object", "wrong_type")
    known = {"agent_id", "session_id"} | ({"limit"} if takes_limit else set())
    for name in data:
        if name not in known:
            raise InvalidField(name, "is not a known field; remove it", "unknown_field")
    agent_id = checked_id(_text(data, "agent_id", required=True), "agent_id")
    named = data.get("session_id")
    session_id = agent_session(agent_id)
    if named is not None:
        session_id = checked_session_id(_text(data, "session_id", required=True), "session_id")
    return ToolCall(agent_id, session_id, named is None, _limit(data.get("limit")))


async def recent_turns(deps: QueryDeps, tenant: str, call: ToolCall) -> Answer:
    """The newest turns. Raises 404 `agent_not_found`, or `session_not_found` for a session that was named."""
    reading = await deps.reading(tenant)
    await _check_agent(deps, reading, tenant, call)
    try:
        page = await reading.newest(tenant, call.session_id, call.limit)
    except Problem as problem:
        page = _nothing_own(call, problem)
    turns = orjson.Fragment(b"[" + b",".join(page.turns) + b"]")
    fields = {**_named(call, page), "turns": turns}
    return object_answer(fields, page.version, page.revision, page.source, deps.watch.away)


async def compressed_memory(deps: QueryDeps, tenant: str, call: ToolCall) -> Answer:
    """The summary up to v and every turn after v."""
    reading = await deps.reading(tenant)
    await _check_agent(deps, reading, tenant, call)
    try:
        frame = await reading.frame(tenant, call.session_id)
    except Problem as problem:
        page = _nothing_own(call, problem)
        frame = Frame(page.version, page.revision, (), (), (), 1, page.source)
    coverage = coverage_of(frame.nodes, frame.hidden)
    composed = await asyncio.to_thread(coverage.composer(), deps.limits.summary_tokens)
    pages = reading.pages_before(tenant, call.session_id, frame, after=coverage.to_version, before=frame.version + 1)
    turns, left_out = await _gathered(pages, deps.limits.memory_turns_max, coverage.to_version)
    fields = {
        **_named(call, frame),
        "summary": composed.text,
        "covered_to": coverage.to_version,
        "tokens": composed.tokens,
        "token_counter": ENCODING,
        "turns": orjson.Fragment(b"[" + b",".join(turns) + b"]"),
        "left_out": left_out,
    }
    return object_answer(fields, frame.version, frame.revision, frame.source, deps.watch.away)


async def _gathered(
    pages: AsyncIterator[Sequence[Turn]], turns_max: int, covered: int
) -> tuple[list[bytes], dict[str, int] | None]:
    """Every visible turn after `covered`, up to the limit; then the range of older ones left out is named."""
    found: list[Turn] = []
    async for page in pages:
        if len(found) >= turns_max:
            left_out = {"from_version": covered + 1, "to_version": found[0][0] - 1}
            return [view for _, view in found], left_out
        found = [*page, *found]
    return [view for _, view in found], None


async def _check_agent(deps: QueryDeps, reading: Reading, tenant: str, call: ToolCall) -> None:
    """404 for an agent that PostgreSQL has seen in no session. While PostgreSQL is away, Redis' word
    stands: an agent's own session exists only if the agent was seen."""
    in_redis = await reading.head(tenant, call.session_id) is not None
    if call.own and in_redis:
        return
    try:
        async with asyncio.timeout(deps.limits.confirm_s if in_redis else None):
            seen = await deps.store.agent_seen(tenant, call.agent_id)
    except (StoreError, TimeoutError):
        if not in_redis:
            raise
        return
    if not seen:
        raise Problem(404, "agent_not_found", f"agent {call.agent_id} was seen in no session", "agent_id")


def _nothing_own(call: ToolCall, problem: Problem) -> Page:
    """An agent known from other sessions has an empty session of its own; other problems stand."""
    if not call.own or problem.code != "session_not_found":
        raise problem
    return Page(0, 0, (), POSTGRES)


def _named(call: ToolCall, found: Page | Frame) -> dict[str, Any]:
    return {
        "agent_id": call.agent_id,
        "session_id": call.session_id,
        "version": found.version,
        "revision": found.revision,
    }


def _text(data: dict[str, Any], name: str, *, required: bool) -> str:
    value = data.get(name)
    if value is None and required:
        raise InvalidField(name, "is required", "missing_field")
    if not isinstance(value, str):
        raise InvalidField(name, "must be text", "wrong_type")
    return value


def _limit(value: Any) -> int:
    if value is None:
        return LIMIT_DEFAULT
    if isinstance(value, float) and value.is_integer():  # JSON has one kind of number: 5.0 is 5
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidField("limit", "must be an integer", "invalid_integer")
    if not 1 <= value <= LIMIT_MAX:
        raise InvalidField("limit", f"must lie within 1 and {LIMIT_MAX}", "out_of_range")
    return value
