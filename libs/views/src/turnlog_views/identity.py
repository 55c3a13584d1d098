"""Which log, and which running PostgreSQL, read models are held to."""

from typing import NamedTuple


class LogIdentity(NamedTuple):
    """A log's incarnation (another one: another log of that name) and the epoch of the PostgreSQL that serves it
    (another one: it was restarted, restored or replaced, so what was derived must be held to it again)."""

    incarnation: str
    epoch: str


def stamp_of(run_id: str, epoch: str) -> str:
    """What a partition is stamped with once it was held to this PostgreSQL on this Redis server. Readers put it
    together in the same way (`reader.py`)."""
    return f"{run_id}.{epoch}"
