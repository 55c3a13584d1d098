"""GET …/context: gathers what a context is chosen from, and has it chosen (`turnlog_query.context`)."""

import asyncio
from collections.abc import Sequence
from typing import Any

from turnlog_events.tokens import ENCODING
from turnlog_eventstore import StoreError, StoreUnavailable
from turnlog_query.answer import Answer, object_answer
from turnlog_query.context import Assembled, Form, Recall, Said, assemble, form_of, said_of
from turnlog_query.context.units import has_orphan
from turnlog_query.coverage import Coverage, coverage_of
from turnlog_query.deps import QueryDeps
from turnlog_query.etag import etag_of, matches
from turnlog_query.frame import REDIS, Frame
from turnlog_query.reading import AtLeast, Reading
from turnlog_query.stored import Turn

Session = tuple[str, str]


async def context_of(
    deps: QueryDeps,
    tenant: str,
    session_id: str,
    *,
    max_tokens: int | None,
    form: str,
    at_least: AtLeast,
    if_none_match: str | None = None,
) -> Answer:
    """The summary up to v and the newest turns after v within the budget, as messages of a chat API or as
    text.

    Nothing is chosen for a client that has the answer already (its body is empty then).
    """
    reading = await deps.reading(tenant)
    frame = await reading.frame(tenant, session_id, at_least)
    if if_none_match is not None and matches(if_none_match, tag := etag_of(frame.version, frame.revision)):
        return Answer(b"", tag)
    budget = max_tokens or deps.limits.context_tokens
    chosen = form_of(form)
    coverage = coverage_of(frame.nodes, frame.hidden)
    said, older = await _gather(deps, reading, (tenant, session_id), frame, coverage.to_version, budget, chosen)
    recall = Recall(session_id, frame.version, coverage.to_version, coverage.composer(), said, older)
    made = await asyncio.to_thread(assemble, recall, budget, chosen)
    fields = _fields(session_id, frame, coverage, form, budget, made)
    return object_answer(fields, frame.version, frame.revision, frame.source, deps.watch.away)


async def _gather(
    deps: QueryDeps, reading: Reading, session: Session, frame: Frame, covered: int, budget: int, form: Form
) -> tuple[list[Said], bool]:
    """The newest messages after `covered` until they cost more than the budget, in order, and whether older ones
    remain. When a result's call lies before `covered`, some turns before it come first. While PostgreSQL is away
    the turns that Redis holds must do: the older ones are left out, and the answer says so."""
    said: list[Said] = []
    spent = 0
    pages = reading.pages_before(*session, frame, after=covered, before=frame.version + 1)
    try:
        async with asyncio.timeout(_older_s(deps, frame)):
            async for page in pages:
                if spent > budget:
                    return said, True
                more, cost = await asyncio.to_thread(_priced, page, form)
                said = more + said
                spent += cost
            if covered and has_orphan(said):
                said = await _lead_in(deps, reading, session, frame, covered) + said
    except (StoreError, TimeoutError):
        if not said:
            raise StoreUnavailable("the turns after the summary cannot be read") from None
        deps.watch.away = True
        return said, True
    return said, False


def _older_s(deps: QueryDeps, frame: Frame) -> float | None:
    """How long PostgreSQL may take for what Redis lacks; without a frame of Redis as long as the request may."""
    if frame.source != REDIS:
        return None
    return deps.limits.confirm_s if deps.watch.away else deps.limits.older_s


def _priced(page: Sequence[Turn], form: Form) -> tuple[list[Said], int]:
    said = [item for _, view in page for item in said_of(view)]
    return said, sum(map(form.price, said))


async def _lead_in(deps: QueryDeps, reading: Reading, session: Session, frame: Frame, covered: int) -> list[Said]:
    after = max(0, covered - deps.limits.lead_in_turns)
    said: list[Said] = []
    async for page in reading.pages_before(*session, frame, after=after, before=covered + 1):
        said = [item for _, view in page for item in said_of(view)] + said
    return said


def _fields(
    session_id: str, frame: Frame, coverage: Coverage, form: str, budget: int, made: Assembled
) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "version": frame.version,
        "revision": frame.revision,
        "format": form,
        "max_tokens": budget,
        "tokens": made.tokens,
        "token_counter": ENCODING,
        "covered_to": coverage.to_version,
        "summary": _range(1, made.summary_to, tokens=made.summary_tokens) if made.summary_to else None,
        "turns": _range(*made.turns) if made.turns else None,
        "left_out": _range(*made.left_out) if made.left_out else None,
        "cut": {"version": made.cut[0], "tokens_left_out": made.cut[1]} if made.cut else None,
        "unpaired": list(made.unpaired),
        **made.fields,
    }


def _range(from_version: int, to_version: int, **more: int) -> dict[str, int]:
    return {"from_version": from_version, "to_version": to_version, **more}
