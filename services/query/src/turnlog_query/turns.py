"""GET …/turns: the recent turns of a session, or a span of them."""

from turnlog_query.answer import Answer, page_answer
from turnlog_query.deps import QueryDeps
from turnlog_query.reading import AtLeast, Span


async def newest_turns(deps: QueryDeps, tenant: str, session_id: str, limit: int) -> Answer:
    """The newest `limit` visible turns, oldest first: the hot path. `session_id` is checked by the caller."""
    reading = deps.known_reading(tenant) or await deps.reading(tenant)
    page = await reading.newest(tenant, session_id, limit)
    return page_answer(session_id, page, deps.watch.away)


async def turns_of(deps: QueryDeps, tenant: str, session_id: str, span: Span, at_least: AtLeast) -> Answer:
    """The visible turns of a span, oldest first, of the session at a version at least."""
    page = await (await deps.reading(tenant)).turns(tenant, session_id, span, at_least)
    return page_answer(session_id, page, deps.watch.away)
