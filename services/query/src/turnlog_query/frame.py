"""A session as a read sees it at one moment, whichever store it came from."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnlog_events.fold import SummaryNode

REDIS = "redis"
POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Page:
    """Turns of a session, oldest first, as served; of the session at `version` and `revision`."""

    version: int
    revision: int
    turns: Sequence[bytes]
    source: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a session besides its older turns.

    `window` are (version, JSON bytes) of its newest visible turns; no visible turn from `window_from` on is
    missing in it. From PostgreSQL it is empty and `window_from` lies above the head.
    """

    version: int
    revision: int
    nodes: tuple[SummaryNode, ...]
    hidden: tuple[tuple[int, int], ...]
    window: tuple[tuple[int, bytes], ...]
    window_from: int
    source: str

    def hides(self, version: int) -> bool:
        """Whether the turn was retracted."""
        return any(start <= version <= end for start, end in self.hidden)

    def after_hidden(self, version: int) -> int:
        """The last of the retracted versions that follow `version` without a gap; `version` itself where none does."""
        for start, end in sorted(self.hidden):
            if start <= version + 1 <= end:
                version = end
        return version

    def before_hidden(self, version: int) -> int:
        """The first of the retracted versions right before `version`, without a gap; `version` where none is."""
        for start, end in sorted(self.hidden, key=lambda span: span[1], reverse=True):
            if start <= version - 1 <= end:
                version = start
        return version
