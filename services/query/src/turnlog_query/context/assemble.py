"""Choosing what fits a token budget: the summary of the turns up to v, and the newest of the turns after v.

The summary may take a quarter of the budget, or more where the turns leave more. The newest turns are kept,
whole and without holes; a tool call and its result stay together; a newest turn beyond the budget is cut
and marked. What the answer costs is counted on the finished answer, so the budget is never passed, whatever
the estimates said.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from turnlog_events.compose import Composition
from turnlog_query.context.cut import cut_unit
from turnlog_query.context.forms import Form
from turnlog_query.context.said import Said
from turnlog_query.context.summary_label import LabelledSummary
from turnlog_query.context.units import Unit, Units, units_of, with_blanks_joined

SUMMARY_SHARE = 0.25
SUMMARY_LEAST_TOKENS = 16
"""Below this a summary says nothing: the turns get its share."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What there is to choose from.

    `covered_to` is the v that the summary reaches (0: none) and `compose(max_tokens)` gives its text at a
    size. `said` are messages in order: all after v, or as many of the newest as can matter (then `older` is
    true: visible turns after v are missing), and possibly some before v that a later result belongs to.
    `version` is the newest.
    """

    session_id: str
    version: int
    covered_to: int
    compose: Callable[[int], Composition]
    said: Sequence[Said]
    older: bool = False


@dataclass(frozen=True, slots=True)
class Assembled:
    """The context. `fields` is the rendered part of the answer, `tokens` its exact size.

    `summary_to` is 0 when no summary is in it; `left_out` is the range of versions that are in neither part;
    `cut` is (version, tokens left out of it).
    """

    fields: dict[str, Any]
    tokens: int
    summary_to: int
    summary_tokens: int
    turns: tuple[int, int] | None
    left_out: tuple[int, int] | None
    cut: tuple[int, int] | None
    unpaired: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    summary: LabelledSummary | None
    units: tuple[Unit, ...]
    cut: tuple[int, int] | None = None


def assemble(recall: Recall, max_tokens: int, form: Form) -> Assembled:
    """The context within `max_tokens` (at least 16), counted on the finished answer."""
    found = units_of(recall.said)
    units = with_blanks_joined([u for u in found.units if u.last_version > recall.covered_to])
    found = Units(units, found.unpaired)
    prices = [sum(map(form.price, unit.items)) for unit in units]
    newest = prices[-1] if prices else 0
    room = max(int(max_tokens * SUMMARY_SHARE), max_tokens - sum(prices))
    if newest <= max_tokens:
        room = min(room, max_tokens - newest)
    summary, spent = _summary_within(recall, room, form)
    room = max_tokens - spent
    if newest > room:
        choice = _with_cut(_Choice(summary, units[-1:]), room, form)
    else:
        choice = _Choice(summary, _newest_within(units, prices, room))
    return _settled(recall, choice, found, max_tokens, form)


def _newest_within(units: tuple[Unit, ...], prices: Sequence[int], room: int) -> tuple[Unit, ...]:
    start = len(units)
    while start > 0 and prices[start - 1] <= room:
        start -= 1
        room -= prices[start]
    return units[start:]


def _summary_within(recall: Recall, room: int, form: Form) -> tuple[LabelledSummary | None, int]:
    """The summary in at most `room` tokens with its label, and its size; (None, 0) where it would say
    nothing."""
    if not recall.covered_to:
        return None, 0

    def size(summary: LabelledSummary) -> int:
        return form.tokens(form.render(summary, (), False))

    label = size(LabelledSummary(recall.session_id, 1, recall.covered_to, ""))
    inner = room - label
    while inner >= SUMMARY_LEAST_TOKENS:
        composed = recall.compose(inner)
        if not composed.text:
            return None, 0
        summary = LabelledSummary(recall.session_id, 1, recall.covered_to, composed.text)
        if (spent := size(summary)) <= room:
            return summary, spent
        inner -= spent - room
    return None, 0


def _with_cut(choice: _Choice, room: int, form: Form) -> _Choice:
    unit = choice.units[-1]
    cut = cut_unit(unit, room, form.price)
    left = Unit(cut.items, unit.first_version, unit.last_version)
    return _Choice(choice.summary, (left,), (unit.last_version, cut.tokens_left_out))


def _settled(recall: Recall, choice: _Choice, found: Units, max_tokens: int, form: Form) -> Assembled:
    """Render and count; while it is too long, give up the oldest unit, then the summary, then more of the
    newest, then the line that says that turns were left out (`left_out` says it too)."""
    original = next((u for u in reversed(found.units) if choice.units and _same(u, choice.units[-1])), None)
    room, gap_told = max_tokens, True
    while True:
        items = [item for unit in choice.units for item in unit.items]
        left_out = _left_out(recall, choice, found)
        fields = form.render(choice.summary, items, gap_told and left_out is not None)
        over = form.tokens(fields) - max_tokens
        if over <= 0:
            return _assembled(recall, choice, found, fields, form, left_out)
        if len(choice.units) > 1:
            choice = _without_oldest(choice, over, form)
        elif choice.summary:
            choice = _Choice(None, choice.units, choice.cut)
        elif original is not None and room > 0:
            room -= over
            choice = _with_cut(_Choice(None, (original,)), room, form)
        elif original is not None and gap_told:
            room, gap_told = max_tokens, False
            choice = _Choice(None, (original,))
        else:
            choice = _Choice(None, ())


def _same(left: Unit, right: Unit) -> bool:
    return (left.first_version, left.last_version) == (right.first_version, right.last_version)


def _without_oldest(choice: _Choice, over: int, form: Form) -> _Choice:
    """Without as many of the oldest units as cost `over` tokens; the newest stays."""
    units = choice.units
    while over > 0 and len(units) > 1:
        over -= max(1, sum(map(form.price, units[0].items)))
        units = units[1:]
    return _Choice(choice.summary, units, choice.cut)


def _left_out(recall: Recall, choice: _Choice, found: Units) -> tuple[int, int] | None:
    """The versions in neither part; None when all of them are hidden or there are none."""
    start = (recall.covered_to if choice.summary else 0) + 1
    first = choice.units[0].first_version if choice.units else recall.version + 1
    missing = recall.older or any(start <= unit.last_version < first for unit in found.units)
    unsummarised = recall.covered_to > 0 and choice.summary is None
    return (start, first - 1) if (missing or unsummarised) and start < first else None


def _assembled(
    recall: Recall,
    choice: _Choice,
    found: Units,
    fields: dict[str, Any],
    form: Form,
    left_out: tuple[int, int] | None,
) -> Assembled:
    summary = choice.summary
    first = choice.units[0].first_version if choice.units else 0
    return Assembled(
        fields=fields,
        tokens=form.tokens(fields),
        summary_to=recall.covered_to if summary else 0,
        summary_tokens=form.tokens(form.render(summary, (), False)) if summary else 0,
        turns=(first, choice.units[-1].last_version) if choice.units else None,
        left_out=left_out,
        cut=choice.cut,
        unpaired=tuple(v for v in found.unpaired if v > recall.covered_to and v > (left_out or (0, 0))[1]),
    )
