"""What the stored summaries of a session cover: which stand, which fell to a retraction, what is missing.

Enters: the session's marks (all events that are not turns). Leaves: a `Cover`, tiles that follow each other from
version 1 without a gap. Called before every plan. Pure; the rules of what stands are those of `turnlog_events.fold`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from turnlog_compressor.transcript import Range, visible_count
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.fold import fold, required_revision
from turnlog_events.payloads import MemorySummarized
from turnlog_events.upcast import payload_of

Place = tuple[int, int, int]
"""(level, from_version, to_version): where a summary stands, whatever its revision."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A stored summary without its text. `sources` are the event ids it was rolled up from."""

    event_id: str
    level: int
    from_version: int
    to_version: int
    revision: int
    sources: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Level and range."""
        return (self.level, self.from_version, self.to_version)

    @property
    def key(self) -> str:
        """The event's key, as `MemorySummarized.key`."""
        return summary_key(self.level, self.from_version, self.to_version, self.revision)

    def overlaps(self, other: "Mark") -> bool:
        """Whether both cover some version."""
        return self.from_version <= other.to_version and other.from_version <= self.to_version

    def holds(self, other: "Mark") -> bool:
        """Whether all that `other` covers is covered here."""
        return self.from_version <= other.from_version and other.to_version <= self.to_version


@dataclass(frozen=True, slots=True)
class Tile:
    """A stretch of the cover. `mark` is the summary of it, `stands` whether it is served; one that fell must be made
    anew. Without a mark nothing was ever stored for the stretch."""

    from_version: int
    to_version: int
    mark: Mark | None
    stands: bool


@dataclass(frozen=True, slots=True)
class Cover:
    """What is summarised of a session.

    `tiles` follow each other from version 1. `usable` holds the newest valid summary of each place, served or rolled
    up long ago; `taken` the highest revision ever stored there; `by_id` every summary.
    """

    hidden: tuple[Range, ...]
    tiles: tuple[Tile, ...]
    usable: Mapping[Place, Mark]
    taken: Mapping[Place, int]
    by_id: Mapping[str, Mark]

    @property
    def to_version(self) -> int:
        """The last version covered (0: none)."""
        return self.tiles[-1].to_version if self.tiles else 0

    def next_revision(self, place: Place) -> int:
        """The revision a new summary of `place` needs in order to be served."""
        needed = required_revision(self.hidden, place[1], place[2])
        return max(needed, self.taken.get(place, 0) + 1)

    def visible(self, from_version: int, to_version: int) -> int:
        """How many versions of from..to are not retracted."""
        return visible_count(from_version, to_version, self.hidden)


def summary_key(level: int, from_version: int, to_version: int, revision: int) -> str:
    """The key of a summary event."""
    return MemorySummarized(from_version, to_version, level, revision, "", (), "", "", 0, 0).key


def mark_of(event: Event) -> Mark:
    """The mark in a `MemorySummarized` event."""
    node = payload_of(event)
    return Mark(
        event.event_id,
        node["level"],
        node["from_version"],
        node["to_version"],
        node["revision"],
        tuple(node["sources"]),
    )


def cover_of(marks: Sequence[Event]) -> Cover:
    """The cover that the session's marks, in order of position, add up to."""
    state = fold(marks)
    summaries = [mark_of(event) for event in marks if event.type == ev.SUMMARIZED]
    served_keys = {summary_key(n.level, n.from_version, n.to_version, n.revision) for n in state.nodes}
    served = [mark for mark in summaries if mark.key in served_keys]
    usable: dict[Place, Mark] = {}
    taken: dict[Place, int] = {}
    lost: list[Mark] = []
    for mark in summaries:
        taken[mark.place] = max(mark.revision, taken.get(mark.place, 0))
        if mark.revision < required_revision(state.hidden, mark.from_version, mark.to_version):
            lost.append(mark)
        elif mark.place not in usable or usable[mark.place].revision < mark.revision:
            usable[mark.place] = mark
    by_id = {mark.event_id: mark for mark in summaries}
    return Cover(state.hidden, tuple(_tiles(served, lost)), usable, taken, by_id)


def _reach(mark: Mark) -> tuple[int, int]:
    return (mark.to_version, mark.level)


def _tiles(served: Sequence[Mark], lost: Sequence[Mark]) -> list[Tile]:
    """The widest summary (of these the highest) that begins where the last one ended, and so on: served ones, and those
    that fell to a retraction unless they would cut into a served one."""
    widest: dict[int, Tile] = {}
    fallen = [m for m in lost if not any(m.overlaps(s) and not m.holds(s) for s in served)]
    for mark, stands in [(m, True) for m in served] + [(m, False) for m in fallen]:
        known = widest.get(mark.from_version)
        if known is None or known.mark is None or _reach(mark) > _reach(known.mark):
            widest[mark.from_version] = Tile(mark.from_version, mark.to_version, mark, stands)
    tiles: list[Tile] = []
    at = 1
    for start in sorted(widest):
        if start < at:
            continue
        if start > at:
            tiles.append(Tile(at, start - 1, None, stands=False))
        tiles.append(widest[start])
        at = widest[start].to_version + 1
    assert all(a.to_version + 1 == b.from_version for a, b in pairwise(tiles)), "tiles follow each other"
    return tiles
