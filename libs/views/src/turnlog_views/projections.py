"""The registry of projections: what is derived from a log into read models, and by which version of the rules.

A version goes up when the same events would leave other bytes in Redis (another fold, another format). A generation
records the version that made it, so that a deployment with other rules notices and rebuilds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Projection:
    """A projection by its name, and the version of its rules in this release."""

    name: str
    version: int


SESSIONS = Projection("sessions", 1)
"""Recent turns, head and summaries of each session."""

PROJECTIONS = {projection.name: projection for projection in (SESSIONS,)}


class UnknownProjection(ValueError):
    """No projection has this name; the message names those that there are."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no projection is named {name!r}; there is: {', '.join(sorted(PROJECTIONS))}")
        self.name = name


def projection_named(name: str) -> Projection:
    """The projection of this name. Raises `UnknownProjection`."""
    try:
        return PROJECTIONS[name]
    except KeyError:
        raise UnknownProjection(name) from None
