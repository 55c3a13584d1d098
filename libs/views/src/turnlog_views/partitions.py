"""What the writer sends to partitions and hears from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from turnlog_views.wire import Argument

FIRST_GENERATION = 1


class Mode(Enum):
    """To which generation a change may be written: the live one, or one that is being built beside it."""

    LIVE = "live"
    BUILD = "build"


@dataclass(frozen=True, slots=True)
class Partition:
    """How far one partition is. `run_id` is that of the server on which it was last known to be complete, empty
    when it is not. `traces` are all generations of which its meta knows."""

    number: int
    generation: int = FIRST_GENERATION
    checkpoint: int = 0
    run_id: str = ""
    window: int = 0
    traces: frozenset[int] = frozenset()

    def at(self, checkpoint: int, run_id: str | None = None) -> "Partition":
        """The same at another checkpoint, and stamped when a `run_id` is given."""
        return replace(self, checkpoint=checkpoint, run_id=self.run_id if run_id is None else run_id)

    def after(self, change: "Change", window: int, run_id: str) -> "Partition":
        """The same after a change was applied on the server of this `run_id`."""
        stamped = run_id if change.stamp else self.run_id
        return replace(self, checkpoint=change.checkpoint, window=window, run_id=stamped)

    @classmethod
    def from_meta(cls, number: int, fields: Mapping[bytes, bytes]) -> "Partition | None":
        """From the meta hash; None when it names no live generation."""
        if b"gen" not in fields:
            return None
        live = fields[b"gen"]
        return cls(
            number,
            int(live),
            int(fields.get(b"c:" + live, 0)),
            fields.get(b"r:" + live, b"").decode(),
            int(fields.get(b"w:" + live, 0)),
            generations_in(fields),
        )


def generations_in(fields: Mapping[bytes, bytes]) -> frozenset[int]:
    """The generations of which a meta hash holds a trace."""
    return frozenset(int(name[2:]) for name in fields if name[1:2] == b":")


@dataclass(slots=True)
class Change:
    """What happens to one partition between two checkpoints.

    `sessions` maps an identity to its effects as flat arguments and their number, in order of positions. `stamp`
    marks the partition as complete on this server.
    """

    partition: Partition
    checkpoint: int
    stamp: bool = False
    sessions: dict[str, "Effects"] = field(default_factory=dict)


@dataclass(slots=True)
class Effects:
    """Effects on one session as arguments of `apply`."""

    count: int = 0
    arguments: list[Argument] = field(default_factory=list)

    def add(self, arguments: tuple[Argument, ...]) -> None:
        """One more effect, as `wire.effect_arguments` gives it."""
        self.count += 1
        self.arguments += arguments


@dataclass(frozen=True, slots=True)
class Applied:
    """The change is done. `absent` sessions were not there, or not at the state before: they are not readable now
    until they are loaded. `window` is that of the partition's generation, in turns."""

    window: int
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """Nothing was done: the partition is not where the writer believed, but here."""

    generation: int
    checkpoint: int


Outcome = Applied | Moved
