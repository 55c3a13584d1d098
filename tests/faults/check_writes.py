"""Checks of what was written: nothing lost, nothing twice, no hole, no inversion, whole or not at all. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from faults.check import FinalLog, Finding, first_times, session_of
from faults.record import NO_ANSWER, STORED, UNKNOWN, Call


def lost(calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """Every acknowledged turn stands in the log exactly as it was answered and sent."""
    hashes = {session_of(call, sent): sent.sha256 for call in calls for sent in call.sent}
    for call in calls:
        for placed in call.placed:
            key = (call.tenant, placed.session, placed.turn_id)
            row = log.by_key.get(key)
            if row is None:
                yield Finding(
                    "lost", "/".join(key), f"answered position {placed.position}; not in the log: {call.told()}"
                )
            elif (row.log, row.position, row.version or 0) != (placed.log, placed.position, placed.version):
                answered = f"{placed.log}:{placed.position} version {placed.version}"
                stands = f"{row.log}:{row.position} version {row.version}"
                yield Finding("lost", "/".join(key), f"answered {answered}, stands at {stands}: {call.told()}")
            elif (sha256 := hashes.get(key)) and sha256 != row.sha256:
                yield Finding("lost", "/".join(key), f"sent with body {sha256}, stands with {row.sha256}")


def twice(log: FinalLog) -> Iterator[Finding]:
    """No key stands twice in a session."""
    _ = log.by_key
    for row in log.duplicates:
        yield Finding("twice", f"{row.tenant}/{row.session}/{row.key}", f"again at {row.log}:{row.position}")


def repeats(calls: Sequence[Call]) -> Iterator[Finding]:
    """A deliberate repeat of what was acknowledged is a duplicate at the same place; a turn is new only once."""
    places: dict[tuple[str, str, str], tuple[str, int, int]] = {}
    new: dict[tuple[str, str, str], Call] = {}
    for call in calls:
        for placed in call.placed:
            key = (call.tenant, placed.session, placed.turn_id)
            place = (placed.log, placed.position, placed.version)
            if places.setdefault(key, place) != place:
                yield Finding("twice", "/".join(key), f"answered {places[key]}, then {place}: {call.told()}")
            if not placed.duplicate and new.setdefault(key, call) is not call:
                yield Finding("twice", "/".join(key), f"answered as new twice: {new[key].told()} and {call.told()}")
            if not placed.duplicate and call.kind == "repeat":
                yield Finding("twice", "/".join(key), f"a repeat was answered as new: {call.told()}")


def holes(log: FinalLog) -> Iterator[Finding]:
    """Positions are dense in each log, versions in each session."""
    positions: dict[str, list[int]] = defaultdict(list)
    for row in log.rows:
        positions[row.log].append(row.position)
    for name, found in positions.items():
        yield from _dense("holes", name, sorted(found))
    for session, rows in log.turns.items():
        yield from _dense("holes", "/".join(session), [row.version or 0 for row in rows])
        if any(a.position >= b.position for a, b in pairwise(rows)):
            yield Finding("holes", "/".join(session), "versions and positions are not in the same order")


def _dense(check: str, where: str, numbers: Sequence[int]) -> Iterator[Finding]:
    for expected, number in enumerate(numbers, 1):
        if number != expected:
            yield Finding(check, where, f"{expected} expected, {number} found")
            return


def partial(calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """A request of many turns is stored whole or not at all, and in one piece. (A bulk load is many requests.)"""
    seen: set[str] = set()
    for call in calls:
        if len(call.sent) < 2 or not call.whole or call.request in seen:
            continue
        seen.add(call.request)
        rows = [row for sent in call.sent if (row := log.by_key.get(session_of(call, sent)))]
        if rows and len(rows) != len(call.sent):
            yield Finding(
                "partial", call.request, f"{len(rows)} of {len(call.sent)} turns stand in the log: {call.told()}"
            )
        elif rows and [row.position for row in rows] != list(range(rows[0].position, rows[0].position + len(rows))):
            yield Finding("partial", call.request, f"its turns are not in one piece: {call.told()}")


def inversions(calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """In a session, what was acknowledged before a call began has a lower version than what that call stored."""
    began, acknowledged = first_times(calls)
    for session, rows in log.turns.items():
        latest_s, latest = float("-inf"), None
        for row in rows:  # by version: `latest` is the one of lower version whose first call began last
            key = (row.tenant, row.session, row.key)
            if latest is not None and latest_s > acknowledged.get(key, float("inf")):
                what = f"version {row.version} was acknowledged before the call of version {latest.version} began"
                yield Finding("inversions", "/".join(session), what)
            if began.get(key, float("-inf")) > latest_s:
                latest_s, latest = began[key], row


def refused_but_stored(calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """What was only ever refused (503, 412) is not in the log."""
    may_stand: set[tuple[str, str, str]] = set()
    told: dict[tuple[str, str, str], Call] = {}
    for call in calls:
        for sent in call.sent:
            if call.outcome in (STORED, UNKNOWN, NO_ANSWER) or not call.whole:
                may_stand.add(session_of(call, sent))
            else:
                told[session_of(call, sent)] = call
    for key, call in told.items():
        if key not in may_stand and key in log.by_key:
            yield Finding("refused but stored", "/".join(key), call.told())
