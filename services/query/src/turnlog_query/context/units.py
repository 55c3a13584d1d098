"""Units of the context: runs of messages that are kept or left out together.

A tool call and its results are one unit, with whatever was said between them, and so are the messages of one turn.
Inside a unit each result is moved right behind its call, because both chat APIs require it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from turnlog_query.context.said import Said


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages kept or left out together; they cover the versions first..last."""

    items: tuple[Said, ...]
    first_version: int
    last_version: int


@dataclass(frozen=True, slots=True)
class Units:
    """All units in order, and the versions of turns whose call or result was left out for want of its other
    half."""

    units: tuple[Unit, ...]
    unpaired: tuple[int, ...]


def units_of(said: Sequence[Said]) -> Units:
    """Group messages (ascending versions) into units.

    A result answers the latest open call of its id before it (ids may be used again). A result without a
    call goes; a call without a result goes too, unless nothing but results follows it: then it is the call
    the agent is making right now. A message of which nothing is left goes with it.
    """
    answered_by, orphans = _pair(said)
    pending = _pending_from(said)
    kept: dict[int, Said] = {}
    unpaired: set[int] = {said[i].version for i in orphans}
    for i, item in enumerate(said):
        if i in orphans:
            continue
        calls = tuple(c for c in item.calls if (i, c.id) in answered_by or i >= pending)
        if len(calls) != len(item.calls):
            unpaired.add(item.version)
            item = replace(item, calls=calls)
        if not item.empty:
            kept[i] = item
    units = [_unit(run, kept, answered_by) for run in _runs(said, answered_by)]
    return Units(tuple(u for u in units if u is not None), tuple(sorted(unpaired)))


def with_blanks_joined(units: Sequence[Unit]) -> tuple[Unit, ...]:
    """The units that show something; the versions of those that do not are covered by the one before (the first by
    the one after).

    Some forms render nothing for a blank message: alone it would take the place of the newest turn and leave the
    context empty. Where all units are blank they stay as they are.
    """
    joined: list[Unit] = []
    first: int | None = None
    for unit in units:
        if not all(item.blank for item in unit.items):
            joined.append(unit if first is None else replace(unit, first_version=first))
            first = None
        elif joined:
            joined[-1] = replace(joined[-1], last_version=unit.last_version)
        elif first is None:
            first = unit.first_version
    return tuple(joined) or tuple(units)


def has_orphan(said: Sequence[Said]) -> bool:
    """Whether a result's call is not among these messages: it may stand just before them."""
    return bool(_pair(said)[1])


def _pair(said: Sequence[Said]) -> tuple[dict[tuple[int, str], int], set[int]]:
    """((index of the message that calls, call id) → index of its result, indices of results without a
    call)."""
    open_calls: dict[str, int] = {}
    answered_by: dict[tuple[int, str], int] = {}
    orphans: set[int] = set()
    for i, item in enumerate(said):
        if item.answers is not None:
            caller = open_calls.pop(item.answers, None)
            if caller is None:
                orphans.add(i)
            else:
                answered_by[caller, item.answers] = i
        for call in item.calls:
            open_calls[call.id] = i
    return answered_by, orphans


def _pending_from(said: Sequence[Said]) -> int:
    """Index from which calls may still wait for their result: the last message that is no result."""
    last = len(said)
    while last > 0 and said[last - 1].answers is not None:
        last -= 1
    return last - 1


def _runs(said: Sequence[Said], answered_by: dict[tuple[int, str], int]) -> list[range]:
    """Index ranges that must stay whole: from a call to its last result, and all messages of one turn (a turn is kept
    or left out whole); overlapping ranges joined."""
    size = len(said)
    reach = [i + (i + 1 < size and said[i + 1].version == said[i].version) for i in range(size)]
    for (caller, _), result in answered_by.items():
        reach[caller] = max(reach[caller], result)
    runs: list[range] = []
    start = end = 0
    for i in range(size):
        if i > end:
            runs.append(range(start, end + 1))
            start = i
        end = max(end, reach[i])
    if size:
        runs.append(range(start, end + 1))
    return runs


def _unit(run: range, kept: dict[int, Said], answered_by: dict[tuple[int, str], int]) -> Unit | None:
    results = set(answered_by.values())
    items: list[Said] = []
    for i in run:
        if i not in kept or i in results:
            continue
        items.append(kept[i])
        items += [kept[answered_by[i, c.id]] for c in kept[i].calls if (i, c.id) in answered_by]
    if not items:
        return None
    versions = [kept[i].version for i in run if i in kept]
    return Unit(tuple(items), min(versions), max(versions))
