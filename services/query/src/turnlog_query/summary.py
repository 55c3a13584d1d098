"""GET …/summary: the rolling summary of a session and where it comes from."""

import asyncio
from typing import Any

from turnlog_events.tokens import ENCODING
from turnlog_query.answer import Answer, object_answer
from turnlog_query.coverage import Coverage, coverage_of
from turnlog_query.deps import QueryDeps
from turnlog_query.reading import ANY, AtLeast


async def summary_of(
    deps: QueryDeps, tenant: str, session_id: str, max_tokens: int | None, at_least: AtLeast = ANY
) -> Answer:
    """The summary within a number of tokens; a session without one gets an empty text that covers nothing."""
    frame = await (await deps.reading(tenant)).frame(tenant, session_id, at_least)
    coverage = coverage_of(frame.nodes, frame.hidden)
    fields = await asyncio.to_thread(summary_fields, coverage, max_tokens or deps.limits.summary_tokens)
    named = {"session_id": session_id, "version": frame.version, "revision": frame.revision, **fields}
    return object_answer(named, frame.version, frame.revision, frame.source, deps.watch.away)


def summary_fields(coverage: Coverage, max_tokens: int) -> dict[str, Any]:
    """The summary's part of an answer. Counts tokens: call it in a thread."""
    composed = coverage.composer()(max_tokens) if coverage.to_version else None
    return {
        "text": composed.text if composed else "",
        "from_version": 1 if coverage.to_version else 0,
        "to_version": coverage.to_version,
        "covered_to": coverage.to_version,
        "tokens": composed.tokens if composed else 0,
        "max_tokens": max_tokens,
        "token_counter": ENCODING,
        "turn_versions": list(composed.versions) if composed else [],
        "nodes": coverage.lineage(),
    }
