"""A thread of LangGraph as its records say it: which checkpoints there are, and which writes wait at each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langgraph.checkpoint.base import writes_sort_key

from turnlog_client.frameworks.history import Span
from turnlog_client.frameworks.langgraph.records import Record

CHECKPOINT, WRITES = "langgraph.checkpoint", "langgraph.writes"
"""The types of the two records."""
Place = tuple[str, str]
"""(namespace, checkpoint id)."""


class PendingRef(NamedTuple):
    """One pending write: who wrote to which channel, and where the value stands in which record's body."""

    task_id: str
    channel: str
    record: Record
    number: int


@dataclass(frozen=True)
class Thread:
    """A thread up to a version of its session; `revision` tells whether anything was retracted since.

    `checkpoints` are those that count (one stored again replaces the one before); `records` is all that was stored at a
    place, in order: checkpoints and writes.
    """

    version: int = 0
    revision: int = 0
    checkpoints: Mapping[Place, Record] = field(default_factory=dict)
    records: Mapping[Place, tuple[Record, ...]] = field(default_factory=dict)

    def at(self, namespace: str, checkpoint_id: str | None) -> Record | None:
        """The checkpoint of this id, or the namespace's latest."""
        if checkpoint_id:
            return self.checkpoints.get((namespace, checkpoint_id))
        ids = [known for space, known in self.checkpoints if space == namespace]
        return self.checkpoints[namespace, max(ids)] if ids else None

    def pending(self, place: Place) -> list[PendingRef]:
        """The writes that wait at a checkpoint, in the order in which they are to be applied.

        Of two writes of one task at one index the first stays; one to a special channel (a negative index) is replaced.
        """
        slots: dict[tuple[str, int], tuple[str, PendingRef]] = {}
        for record in self.records.get(place, ()):
            head = record.head
            for number, (index, channel) in enumerate(head.get("writes", ())):
                slot = (head["task_id"], index)
                if index < 0 or slot not in slots:
                    slots[slot] = (head["task_path"], PendingRef(head["task_id"], channel, record, number))
        ordered = sorted(slots, key=lambda slot: writes_sort_key(slots[slot][0], *slot))
        return [slots[slot][1] for slot in ordered]

    def spans(self, place: Place) -> list[Span]:
        """Every version that a checkpoint and its writes take."""
        return [span for record in self.records.get(place, ()) for span in record.spans]


def place_of(record: Record) -> Place:
    """The checkpoint that a record is, or belongs to."""
    return record.head["ns"], record.head["id"]


def parent_of(record: Record) -> Place | None:
    """The checkpoint before a checkpoint."""
    parent = record.head.get("parent")
    return (record.head["ns"], parent) if parent else None


def grown(thread: Thread, records: Sequence[Record], version: int, revision: int) -> Thread:
    """The thread with more records."""
    checkpoints, known = dict(thread.checkpoints), dict(thread.records)
    for record in records:
        place = place_of(record)
        known[place] = (*known.get(place, ()), record)
        if record.head["type"] == CHECKPOINT:
            checkpoints[place] = record
    return Thread(version, revision, checkpoints, known)
