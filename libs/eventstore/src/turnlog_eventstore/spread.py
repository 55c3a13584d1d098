"""How leaderships spread over replicas: what one of them may take, and what it should give up. No I/O.

Names of one kind (what stands before the '/') are shared out: each replica leads at most its fair share, which is the
names it contends for divided by the replicas that are there. A name that nobody took for a lease goes to whoever asks
first, so that nothing is left without a leader; one is given up only for a replica that would take it. Pieces of work
that end by themselves (`WHOLE_KINDS`) are not shared out: whoever is first does them, to their end.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

WHOLE_KINDS = frozenset({"rebuild"})
"""What is taken whenever it is free and never asked back: half of the work would be lost, and it ends anyhow."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One name: which replica holds it (None: nobody), which ones contend for it, and for how long it was seen free."""

    name: str
    holder: int | None
    contenders: frozenset[int]
    free_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Moves:
    """What a replica does next: try to take these, best first, and give these up."""

    take: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ()


def kind_of(name: str) -> str:
    """`relay` of `relay/main`."""
    return name.split("/", 1)[0]


def moves(me: int, standings: Sequence[Standing], leaving: Collection[str], lease_s: float) -> Moves:
    """What `me` does about the names of one kind that it contends for or holds. `leaving`: asked to give up already."""
    mine = [s for s in standings if s.holder == me and s.name not in leaving]
    free = [s for s in standings if s.holder is None]
    if all(kind_of(s.name) in WHOLE_KINDS for s in standings):
        return Moves(take=tuple(s.name for s in free))
    spare = len(mine) - _share(me, me, standings)
    if spare < 0:
        return Moves(take=tuple(s.name for s in free[:-spare]))
    take = tuple(s.name for s in free if s.free_s >= lease_s)[:1]
    if spare == 0 or len(leaving) > 0:
        return Moves(take=take)
    return Moves(take=take, give_up=_wanted(me, mine, standings, len(free))[: math.ceil(spare / 2)])


def _share(replica: int, me: int, standings: Sequence[Standing]) -> int:
    replicas = {me}.union(*(s.contenders for s in standings))
    names = sum(replica in s.contenders or replica == s.holder or replica == me for s in standings)
    return math.ceil(names / len(replicas))


def _wanted(me: int, mine: Sequence[Standing], standings: Sequence[Standing], free: int) -> tuple[str, ...]:
    """Those of `mine` that a replica with fewer than its share would take; as many as they lack."""
    others = {replica for s in mine for replica in s.contenders} - {me}
    lacking = {r: _share(r, me, standings) - sum(s.holder == r for s in standings) for r in others}
    hungry = {replica for replica, lacks in lacking.items() if lacks > 0}
    count = sum(lacking[replica] for replica in hungry) - free
    return tuple(s.name for s in mine if s.contenders & hungry)[: max(0, count)]
