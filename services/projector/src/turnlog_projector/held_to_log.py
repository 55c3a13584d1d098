"""Holds read models to the log: is what they are complete up to still what PostgreSQL has there?

Each partition keeps the log's chain hash at its checkpoint. The chain covers all events before, so one event read per
distinct checkpoint tells whether the whole history below is the one that the read models were made from.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from turnlog_projector.ports import Log
from turnlog_views.partitions import Partition


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A partition whose checkpoint is not in the log: beyond its end, or at an event of another history. `expected`
    is what the log has there, `found` what the partition says."""

    partition: int
    position: int
    expected: str
    found: str


async def first_mismatch(log: Log, name: str, partitions: Iterable[Partition]) -> Mismatch | None:
    """The first partition that is not of this log as it is now, or None.

    A checkpoint without a chain hash (written by a release that kept none) proves nothing: it counts as a mismatch.
    Position 0 needs none. Raises the log's errors.
    """
    points = {(p.checkpoint, p.chain): p.number for p in partitions if p.checkpoint}
    for (position, chain), number in sorted(points.items()):
        events = await log.read_after(name, position - 1, 1)
        expected = events[0].chain_hash.hex() if events else ""
        if not chain or chain != expected:
            return Mismatch(number, position, expected or "no event", chain or "no chain hash")
    return None
