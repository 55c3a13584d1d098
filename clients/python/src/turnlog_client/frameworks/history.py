"""A session read whole, and changed: the steps that all adapters share.

Reads are fresh: PostgreSQL answers, so what any process has stored or taken back before is in them.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from turnlog_client import calls
from turnlog_client.errors import ApiError, NotFound, TurnlogError
from turnlog_client.frameworks.packing import requests
from turnlog_client.results import Placed
from turnlog_client.steps import Pause, Steps, ask

T = TypeVar("T")
Turn = dict[str, Any]
Span = tuple[int, int]
"""Versions from..to, both inclusive."""
PAGE_TURNS = 200
"""Turns a page: with turns of 256 KiB still some 50 MiB."""
HISTORY_MAX_TURNS = 100_000
CHANGES_MAX = 12
"""Attempts to change a session that others change at the same time."""
_OTHER_VERSION = 412


class Contended(TurnlogError):
    """Others changed the session at every attempt; nothing was stored. Trying again is safe."""


class HistoryTooLong(TurnlogError):
    """A session has more turns than an adapter reads into memory."""


@dataclass(frozen=True)
class History:
    """A session's version (0: it has no turn), its visible turns, oldest first, and its revision, which changes with
    every retraction."""

    version: int
    turns: Sequence[Turn]
    revision: int


NOTHING = History(0, (), 0)


def history(session_id: str) -> Steps[History]:
    """All visible turns of a session as they stood at one moment. Raises `HistoryTooLong` beyond 100,000."""
    return pages(session_id, turns_max=HISTORY_MAX_TURNS)


def pages(session_id: str, after_version: int = 0, turns_max: int | None = None, **params: Any) -> Steps[History]:
    """The visible turns after a version as they stood at one moment; `params` are those of a read of turns."""
    while True:
        found = yield from _pages(session_id, after_version, turns_max, params)
        if found is not None:
            return found


def newest(session_id: str, limit: int, before_version: int | None = None) -> Steps[History]:
    """The newest `limit` visible turns of a session (1 to 1,000), or those before a version."""
    call = calls.read_session(session_id, "turns", limit=limit, before_version=before_version, fresh=True)
    try:
        page = yield from ask(call)
    except NotFound:
        return NOTHING
    return History(page["version"], page["turns"], page["revision"])


def session_ids(agent_id: str) -> Steps[list[str]]:
    """Every session that the agent has written to, the newest first."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = yield from ask(calls.sessions(cursor, agent_id=agent_id))
        found += [row["session_id"] for row in page["sessions"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def appended(session_id: str, turns: Sequence[Mapping[str, Any]], if_version: int | None = None) -> Steps[list[Placed]]:
    """Store turns in order; with `if_version` only if the session is at that version, else `ApiError` 412.

    Up to 1,000 turns and 7 MiB are stored all or nothing. More go in several requests, each only if nobody else has
    stored meanwhile: an adapter lets what makes them count stand in the last.
    """
    return appended_groups(session_id, [[turn] for turn in turns], if_version)


def appended_groups(
    session_id: str, groups: Sequence[Sequence[Mapping[str, Any]]], if_version: int | None = None
) -> Steps[list[Placed]]:
    """`appended` for turns in groups, each stored all or nothing. Raises ValueError for a group that is too large."""
    placed: list[Placed] = []
    for batch in requests(groups):
        placed += yield from ask(calls.store_many(session_id, batch, if_version))
        if_version = None if if_version is None else placed[-1].version
    return placed


def retracted(session_id: str, spans: Iterable[Span], reason: str) -> Steps[None]:
    """Hide these versions, the newest last, in as few retractions as there are runs of them."""
    for start, end in joined(spans):
        yield from ask(calls.retract(session_id, start, end, reason))


def all_retracted(session_id: str, reason: str) -> Steps[None]:
    """Hide every turn there is now."""
    found = yield from newest(session_id, 1)
    if found.turns:
        yield from retracted(session_id, [(1, found.version)], reason)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, neighbours and overlaps made one."""
    made: list[Span] = []
    for start, end in sorted(spans):
        if made and start <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((start, end))
    return made


def changed(
    session_id: str,
    decide: Callable[[History], tuple[Sequence[Mapping[str, Any]], T]],
    read: Callable[[str], Steps[History]] = history,
) -> Steps[T]:
    """`read` a session, `decide` what to append (nothing: only read) and what to return, and store it only if nobody
    else has stored meanwhile; else decide anew. What `decide` raises ends it. Raises `Contended`."""

    def attempt() -> Steps[T]:
        found = yield from read(session_id)
        turns, result = decide(found)
        if turns:
            yield from appended(session_id, turns, found.version)
        return result

    return attempted(session_id, attempt)


def attempted(session_id: str, attempt: Callable[[], Steps[T]]) -> Steps[T]:
    """Take steps that append with an `if_version`, and anew where others have stored meanwhile. Raises `Contended`."""
    for number in range(CHANGES_MAX):
        try:
            return (yield from attempt())
        except ApiError as error:
            if not is_other_version(error):
                raise
        yield Pause(random.uniform(0, min(0.005 * 2**number, 0.2)))
    raise Contended(f"session {session_id} was changed by others at each of {CHANGES_MAX} attempts; try again")


def is_other_version(error: ApiError) -> bool:
    """Whether a write was refused because the session is at another version."""
    return error.status == _OTHER_VERSION


def _pages(
    session_id: str, after_version: int, turns_max: int | None, params: Mapping[str, Any]
) -> Steps[History | None]:
    """None when something was retracted between two pages."""
    turns: list[Turn] = []
    revision: int | None = None
    while True:
        call = calls.read_session(
            session_id, "turns", after_version=after_version, limit=PAGE_TURNS, fresh=True, **params
        )
        try:
            page = yield from ask(call)
        except NotFound:
            return NOTHING
        if revision not in (None, page["revision"]):
            return None
        turns += page["turns"]
        revision = page["revision"]
        if turns_max is not None and len(turns) > turns_max:
            raise HistoryTooLong(
                f"session {session_id} has more than {turns_max} turns: begin a new one, or retract old turns"
            )
        if not page["turns"] or (after_version := page["turns"][-1]["version"]) >= page["version"]:
            return History(page["version"], turns, page["revision"])
