"""A session read whole, and changed: the steps that all adapters share.

Reads are current: they ask PostgreSQL for the session's version first and take nothing older, so what any process has
stored before is in them. Only a retraction by another process may show a moment late.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from turnlog_client import ApiError, Placed, TurnlogError, Unavailable
from turnlog_client.frameworks.items import json_bytes
from turnlog_client.frameworks.steps import Ask, Pause, Steps

T = TypeVar("T")
Turn = dict[str, Any]
PAGE_TURNS = 1_000
BATCH_TURNS, BATCH_BYTES = 1_000, 4 * 1024 * 1024
HISTORY_MAX_TURNS = 100_000
CHANGES_MAX = 12
"""Attempts to change a session that others change at the same time."""
SETTLE_S, SETTLE_FIRST_S, SETTLE_LAST_S = 5.0, 0.005, 0.2
"""How long a retraction may take to be seen by reads, and the pauses between looks."""
_NOT_FOUND, _OTHER_VERSION = 404, 412


class Contended(TurnlogError):
    """Others changed the session at every attempt; nothing was stored. Trying again is safe."""


class HistoryTooLong(TurnlogError):
    """A session has more turns than an adapter reads into memory."""


@dataclass(frozen=True)
class History:
    """A session's version (0: it has no turn) and its visible turns, oldest first."""

    version: int
    turns: Sequence[Turn]


NOTHING = History(0, ())


def history(session_id: str) -> Steps[History]:
    """All visible turns of a session. Raises `HistoryTooLong` beyond 100,000."""
    head = yield from _head(session_id)
    if head is None:
        return NOTHING
    version, hidden = _stored_version(head), head["retracted"]
    turns: list[Turn] = []
    after = _past(0, hidden)
    while after < version:
        page = yield Ask.of("turns", session_id, after_version=after, limit=PAGE_TURNS, min_version=version)
        version = page["version"]
        if not page["turns"]:
            break
        turns += page["turns"]
        if len(turns) > HISTORY_MAX_TURNS:
            raise HistoryTooLong(
                f"session {session_id} has more than {HISTORY_MAX_TURNS} turns: begin a new one, or retract old turns"
            )
        after = _past(turns[-1]["version"], hidden)
    return History(version, turns)


def newest(session_id: str, limit: int) -> Steps[History]:
    """The newest `limit` visible turns of a session (1 to 1,000)."""
    head = yield from _head(session_id)
    if head is None:
        return NOTHING
    page = yield Ask.of("turns", session_id, limit=limit, min_version=_stored_version(head))
    return History(page["version"], page["turns"])


def appended(session_id: str, turns: Sequence[Mapping[str, Any]], if_version: int | None = None) -> Steps[list[Placed]]:
    """Store turns in order; with `if_version` only if the session is at that version, else `ApiError` 412.

    Up to 1,000 turns and 4 MiB are stored all or nothing. More go in several requests, each only if nobody else has
    stored meanwhile: an adapter lets what makes them count stand in the last.
    """
    placed: list[Placed] = []
    for batch in _batches(turns):
        placed += yield Ask.of("store_many", session_id, batch, if_version=if_version)
        if_version = None if if_version is None else placed[-1].version
    return placed


def retracted(session_id: str, from_version: int, to_version: int, reason: str) -> Steps[None]:
    """Hide turns and wait until reads do not show them any more. Raises `Unavailable` when that takes too long; the
    retraction is stored all the same."""
    done = yield Ask.of("retract", session_id, from_version, to_version, reason)
    pause_s, waited_s = SETTLE_FIRST_S, 0.0
    while waited_s < SETTLE_S:
        head = yield from _head(session_id)
        if head is None or head["source"] == "postgres" or head["position"] >= done["position"]:
            return
        yield Pause(pause_s)
        waited_s += pause_s
        pause_s = min(2 * pause_s, SETTLE_LAST_S)
    raise Unavailable(f"turns of session {session_id} are retracted, but reads still show them after {SETTLE_S:g} s")


def changed(
    session_id: str,
    decide: Callable[[History], tuple[Sequence[Mapping[str, Any]], T]],
    read: Callable[[str], Steps[History]] = history,
) -> Steps[T]:
    """`read` a session, `decide` what to append (nothing: only read) and what to return, and store it only if nobody
    else has stored meanwhile; else decide anew. What `decide` raises ends it. Raises `Contended`."""
    for attempt in range(CHANGES_MAX):
        found = yield from read(session_id)
        turns, result = decide(found)
        if not turns:
            return result
        try:
            yield from appended(session_id, turns, found.version)
        except ApiError as error:
            if not is_other_version(error):
                raise
            yield pause_before(attempt)
        else:
            return result
    raise contended(session_id)


def contended(session_id: str) -> Contended:
    """The error of a change that others were always faster than."""
    return Contended(f"session {session_id} was changed by others at each of {CHANGES_MAX} attempts; try again")


def pause_before(attempt: int) -> Pause:
    """A jittered pause before trying a change anew."""
    return Pause(random.uniform(0, min(0.005 * 2**attempt, 0.2)))


def is_other_version(error: ApiError) -> bool:
    """Whether a write was refused because the session is at another version."""
    return error.status == _OTHER_VERSION


def _batches(turns: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    size = 0
    for turn in turns:
        turn_size = json_bytes(turn)
        if batch and (len(batch) == BATCH_TURNS or size + turn_size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(turn)
        size += turn_size
    if batch:
        yield batch


def _head(session_id: str) -> Steps[dict[str, Any] | None]:
    try:
        head: dict[str, Any] = yield Ask.of("session", session_id)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    return head


def _stored_version(head: Mapping[str, Any]) -> int:
    """PostgreSQL's version where it could be asked."""
    version: int = head["version"]
    return max(version, head["read_model"]["stored_version"] or 0)


def _past(version: int, hidden: Sequence[Mapping[str, int]]) -> int:
    """The last version before the next visible turn: retracted turns are not asked for."""
    moved = True
    while moved:
        moved = False
        for span in hidden:
            if span["from_version"] <= version + 1 <= span["to_version"]:
                version, moved = span["to_version"], True
    return version
