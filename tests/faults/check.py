"""Checks of a run: the record of what clients saw held to the log as it stands in PostgreSQL at the end. Pure.

Each check returns findings; none means that the promise held. `test_check.py` turns each of them red once.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from faults.record import Call, Sent

TURN, RETRACTED, SUMMARIZED = "MemoryTurnStored", "TurnsRetracted", "MemorySummarized"


class Finding(NamedTuple):
    """Something that a promise forbids."""

    check: str
    where: str
    what: str


class LogRow(NamedTuple):
    """One event of the final log. `hides` is the range of a retraction."""

    log: str
    position: int
    tenant: str
    session: str
    version: int | None
    type: str
    key: str
    sha256: str
    chain: str = ""
    hides: tuple[int, int] | None = None


@dataclass
class FinalLog:
    """The final logs, looked up in the ways that checks need."""

    rows: Sequence[LogRow]
    duplicates: list[LogRow] = field(default_factory=list)

    @cached_property
    def by_key(self) -> dict[tuple[str, str, str], LogRow]:
        """Events by (tenant, session, key)."""
        found: dict[tuple[str, str, str], LogRow] = {}
        for row in self.rows:
            if found.setdefault((row.tenant, row.session, row.key), row) is not row:
                self.duplicates.append(row)
        return found

    @cached_property
    def turns(self) -> dict[tuple[str, str], list[LogRow]]:
        """The turns of each session by version."""
        found: dict[tuple[str, str], list[LogRow]] = defaultdict(list)
        for row in self.rows:
            if row.version is not None:
                found[row.tenant, row.session].append(row)
        for turns in found.values():
            turns.sort(key=lambda row: row.version or 0)
        return found

    @cached_property
    def marks(self) -> dict[tuple[str, str], list[LogRow]]:
        """The retractions and summaries of each session."""
        found: dict[tuple[str, str], list[LogRow]] = defaultdict(list)
        for row in self.rows:
            if row.type in (RETRACTED, SUMMARIZED):
                found[row.tenant, row.session].append(row)
        return found

    @cached_property
    def hidden(self) -> dict[tuple[str, str], set[int]]:
        """The versions of each session that were retracted at some time."""
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in self.rows:
            if row.hides is not None:
                found[row.tenant, row.session].update(range(row.hides[0], row.hides[1] + 1))
        return found


def session_of(call: Call, sent: Sent) -> tuple[str, str, str]:
    """The key of a turn that a call sent."""
    return call.tenant, sent.session, sent.turn_id


def first_times(calls: Iterable[Call]) -> tuple[dict[tuple[str, str, str], float], dict[tuple[str, str, str], float]]:
    """When the first call with each turn began, and when a turn was first acknowledged."""
    began: dict[tuple[str, str, str], float] = {}
    acknowledged: dict[tuple[str, str, str], float] = {}
    for call in calls:
        for sent in call.sent:
            key = session_of(call, sent)
            began[key] = min(began.get(key, call.started_s), call.started_s)
        for placed in call.placed:
            key = (call.tenant, placed.session, placed.turn_id)
            acknowledged[key] = min(acknowledged.get(key, call.ended_s), call.ended_s)
    return began, acknowledged
