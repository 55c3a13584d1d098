"""Per fault: what callers of each API experienced while it lasted, held to what may be. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from faults.check_time import longest
from faults.record import ANSWERED, REJECTED, STORED, Call

WRITES = frozenset({"single", "shared", "many", "keyed", "if-match", "bulk", "repeat", "retract", "compress"})
WARM_KINDS = frozenset({"turns", "head", "summary"})
"""Reads that the read models alone can answer: no `min_version`, nothing beyond the window."""
GRACE_S = 12.0
"""How long after a fault was healed callers may still feel it, unless everything was seen whole before: connections
are made anew, a server recovers."""
EDGE_S = 0.3
WARM_S = 3.0


@dataclass(frozen=True, slots=True)
class Window:
    """One fault as it was: injected from `began_s`, in force from `entered_s` to `leaving_s`, healed at `healed_s`."""

    name: str
    row: str
    began_s: float
    entered_s: float
    leaving_s: float
    healed_s: float
    writes: frozenset[str]
    reads: frozenset[str]
    warm_reads: frozenset[str] = frozenset()
    """What reads may get that need nothing but read models which stood before the fault."""
    codes: frozenset[str] = frozenset()
    """Codes of errors that are true while it lasts though they would be wrong otherwise."""
    felt_s: float = GRACE_S
    """How long after the healing callers may still feel it."""

    def touches(self, call: Call) -> bool:
        """Whether the call fell into the time in which callers may feel the fault."""
        return call.ended_s >= self.began_s and call.started_s <= self.healed_s + self.felt_s

    def holds(self, call: Call) -> bool:
        """Whether the call fell wholly into the time in which the fault was in force."""
        return call.started_s >= self.entered_s + EDGE_S and call.ended_s <= self.leaving_s


@dataclass(slots=True)
class Column:
    """What was seen of one API during a fault."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[Call] = field(default_factory=list)
    longest: Mapping[str, Call] = field(default_factory=dict)

    @property
    def green(self) -> bool:
        """Whether only what is allowed was seen."""
        return not self.wrong


def columns(
    window: Window, windows: Sequence[Window], calls: Sequence[Call], excused: Callable[[Call], float]
) -> tuple[Column, Column]:
    """The write and the read column of a fault. Calls that overlap other faults too may have those' outcomes."""
    write, read = Column(), Column()
    mine: dict[bool, list[Call]] = {True: [], False: []}
    for call in calls:
        if not (call.ended_s >= window.began_s and call.started_s <= window.healed_s):
            continue
        is_write = call.kind in WRITES
        column = write if is_write else read
        mine[is_write].append(call)
        victim = excused(call) == float("inf")
        column.outcomes["at the victim" if victim else call.outcome] += 1
        if not victim and not allowed(call, [w for w in windows if w.touches(call)]):
            column.wrong.append(call)
    write.longest, read.longest = longest(mine[True], excused), longest(mine[False], excused)
    return write, read


def allowed(call: Call, felt: Collection[Window]) -> bool:
    """Whether the faults that a call may have felt allow its outcome."""
    is_write = call.kind in WRITES
    if call.outcome in (REJECTED, ANSWERED):
        return True
    if call.outcome == STORED:
        return all(STORED in window.writes for window in felt if window.holds(call))
    return any(call.outcome in (w.writes if is_write else w.reads) or call.code in w.codes for w in felt)


def cold(
    windows: Sequence[Window], calls: Sequence[Call], excused: Callable[[Call], float]
) -> list[tuple[Window, Call]]:
    """Reads of sessions whose read models stood before a fault that were not answered from them while it was in force,
    though it allows no less. Only where no other fault can have hurt the read models before."""
    known = first_acknowledged(calls)
    found = []
    for window in windows:
        if not window.warm_reads or any(
            w is not window and w.healed_s + GRACE_S > window.began_s > w.began_s for w in windows
        ):
            continue
        for call in calls:
            is_warm = (
                call.kind in WARM_KINDS
                and known.get((call.tenant, call.session), float("inf")) < window.began_s - WARM_S
            )
            alone = [w for w in windows if w.touches(call)] == [window]
            unhappy = call.outcome not in window.warm_reads and excused(call) != float("inf")
            if is_warm and alone and window.holds(call) and unhappy:
                found.append((window, call))
    return found


def first_acknowledged(calls: Sequence[Call]) -> dict[tuple[str, str], float]:
    """When a turn of each session was first acknowledged."""
    found: dict[tuple[str, str], float] = {}
    for call in calls:
        for placed in call.placed:
            key = (call.tenant, placed.session)
            found[key] = min(found.get(key, call.ended_s), call.ended_s)
    return found


def outside(windows: Sequence[Window], calls: Sequence[Call], excused: Callable[[Call], float]) -> list[Call]:
    """Calls that no fault touched and that were not simply answered."""
    return [
        call
        for call in calls
        if excused(call) != float("inf")
        and not any(window.touches(call) for window in windows)
        and not allowed(call, ())
    ]
