"""Which faults come when: from a seed, so that a run can be repeated. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

OVERLAPPING = 0.3
SHORT_PAUSE = 0.3


class Planned(Protocol):
    """What the schedule needs to know of a fault."""

    @property
    def name(self) -> str: ...
    @property
    def row(self) -> str: ...
    @property
    def hold_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One or two faults at once: names, how long each is held, how long after the first the second begins, and the
    pause to recover afterwards."""

    names: tuple[str, ...]
    hold_s: tuple[float, ...]
    apart_s: float
    pause_s: float

    @property
    def lasts_s(self) -> float:
        """From the first injection to the end of the pause."""
        return max(self.hold_s[0], self.apart_s + self.hold_s[-1]) + self.pause_s


def steps(faults: Sequence[Planned], seed: int, pause_s: float = 6.0, hold_scale: float = 1.0) -> Iterator[Step]:
    """Steps without end: every fault once in shuffled order, then again and again, from the second round on sometimes
    two of different rows together. The pause is about `pause_s`, sometimes too short to recover."""
    rng = random.Random(f"schedule/{seed}")
    first_round = True
    while True:
        waiting = list(faults)
        rng.shuffle(waiting)
        while waiting:
            chosen = [waiting.pop()]
            others = [fault for fault in waiting if fault.row != chosen[0].row]
            if not first_round and others and rng.random() < OVERLAPPING:
                chosen.append(others[-1])
                waiting.remove(others[-1])
            holds = tuple(fault.hold_s * hold_scale * rng.uniform(0.8, 1.3) for fault in chosen)
            pause = (
                rng.uniform(0.5, 1.5)
                if not first_round and rng.random() < SHORT_PAUSE
                else pause_s * rng.uniform(0.7, 1.3)
            )
            yield Step(tuple(fault.name for fault in chosen), holds, rng.uniform(0.2, 0.8) * holds[0], pause)
        first_round = False
