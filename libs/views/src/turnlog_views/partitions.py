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
    """How far one generation of one partition is.

    `chain` is the log's chain hash at the checkpoint (hex; empty at 0 and where none was recorded). `stamp` names the
    servers on which it was last known to be complete, empty when it is not. `projection` is the version of the rules
    that made it; from checkpoint `mixed_from` on another version wrote to it; an operator rolled back to it from
    version `chosen_over`. `traces` are all generations of which
    the meta knows.
    """

    number: int
    generation: int = FIRST_GENERATION
    checkpoint: int = 0
    stamp: str = ""
    window: int = 0
    traces: frozenset[int] = frozenset()
    chain: str = ""
    projection: int = 1
    mixed_from: int | None = None
    chosen_over: int | None = None

    def at(self, checkpoint: int, chain: str = "") -> "Partition":
        """The same at another checkpoint."""
        return replace(self, checkpoint=checkpoint, chain=chain)

    def after(self, change: "Change", window: int, stamp: str) -> "Partition":
        """The same after a change was applied on the servers that this stamp names."""
        stamped = stamp if change.stamp else self.stamp
        return replace(self, checkpoint=change.checkpoint, chain=change.chain, window=window, stamp=stamped)


@dataclass(frozen=True, slots=True)
class Meta:
    """All that one partition's meta hash says: `generations` are those with a checkpoint, by their numbers;
    `kept_until_ms` (time of the server) those that are kept though not live."""

    number: int
    live: int | None
    generations: Mapping[int, Partition]
    traces: frozenset[int]
    kept_until_ms: Mapping[int, int]

    @property
    def live_partition(self) -> Partition | None:
        """The live generation's state; None where there is no live generation."""
        if self.live is None:
            return None
        return self.generations.get(self.live) or Partition(self.number, self.live, traces=self.traces)

    @classmethod
    def parsed(cls, number: int, fields: Mapping[bytes, bytes]) -> "Meta":
        """From the hash."""
        traces = frozenset(int(name[2:]) for name in fields if name[1:2] == b":")
        built = (generation for generation in traces if b"c:%d" % generation in fields)
        return cls(
            number,
            int(fields[b"gen"]) if b"gen" in fields else None,
            {generation: _partition(number, generation, fields, traces) for generation in built},
            traces,
            {int(name[2:]): int(value) for name, value in fields.items() if name[:2] == b"x:"},
        )


def _partition(number: int, generation: int, fields: Mapping[bytes, bytes], traces: frozenset[int]) -> Partition:
    suffix = b":%d" % generation
    mixed, over = fields.get(b"m" + suffix), fields.get(b"o" + suffix)
    return Partition(
        number,
        generation,
        int(fields[b"c" + suffix]),
        fields.get(b"r" + suffix, b"").decode(),
        int(fields.get(b"w" + suffix, 0)),
        traces,
        fields.get(b"h" + suffix, b"").decode(),
        int(fields.get(b"p" + suffix, 1)),
        None if mixed is None else int(mixed),
        None if over is None else int(over),
    )


@dataclass(slots=True)
class Change:
    """What happens to one partition between two checkpoints.

    `sessions` maps an identity to its effects as flat arguments and their number, in order of positions. `stamp`
    marks the partition as complete on these servers. `chain` is the log's chain hash at the new checkpoint (hex).
    """

    partition: Partition
    checkpoint: int
    stamp: bool = False
    sessions: dict[str, "Effects"] = field(default_factory=dict)
    chain: str = ""


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
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was done: live writes wait so many milliseconds at most, while another generation is switched to."""

    left_ms: int


Outcome = Applied | Moved | Held
