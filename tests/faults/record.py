"""The record of a run: every call with what was sent and answered, as clients saw it. What the checks work on.

Written by the load, spooled as JSON lines (so that a run that dies leaves its evidence), read by `check*.py`. Times are
seconds of this process's monotonic clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import orjson

STORED, REFUSED, UNKNOWN, NO_ANSWER = "stored", "refused", "unknown", "no_answer"
ANSWERED, STALE, REJECTED, WRONG = "answered", "stale", "rejected", "wrong"
"""Outcomes. A write is stored, refused (503: not stored), unknown (504) or rejected (412: decided, never stored); a
read is answered, stale (marked so) or refused; `wrong` is an answer that no fault allows (500, a 404 of what is
stored …); `no_answer` a connection that broke or a client's time-out."""


class Sent(NamedTuple):
    """One turn as sent: the SHA-256 is that of its fields as canonical JSON."""

    session: str
    turn_id: str
    sha256: str


class Placed(NamedTuple):
    """One turn's place as answered."""

    session: str
    turn_id: str
    log: str
    position: int
    version: int
    duplicate: bool


class Page(NamedTuple):
    """What a read of recent turns said: the session's version, and the versions of the turns shown as ranges."""

    version: int
    min_version: int
    limit: int
    ranges: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call (one attempt of a request). `request` is shared by all attempts of the same request."""

    zero_s: ClassVar[float] = 0.0
    """When the run began, for `told`."""

    kind: str
    replica: str
    tenant: str
    session: str
    request: str
    attempt: int
    started_s: float
    ended_s: float
    outcome: str
    status: int = 0
    code: str = ""
    allowed_s: float = 0.0
    sent: tuple[Sent, ...] = ()
    placed: tuple[Placed, ...] = ()
    page: Page | None = None
    foreign: bool = False
    whole: bool = True

    @property
    def took_s(self) -> float:
        """How long the client waited."""
        return self.ended_s - self.started_s

    def told(self) -> str:
        """One line for a person."""
        answer = f"{self.status} {self.code}".strip() if self.status else self.code or "no answer"
        page = f" at version {self.page.version} (min {self.page.min_version})" if self.page else ""
        return (
            f"{self.started_s - Call.zero_s:8.3f} s +{self.took_s:.3f} s  {self.kind} {self.replica} {self.session} "
            f"{self.request} attempt {self.attempt}: {self.outcome} ({answer}){page}"
        )


class Sighting(NamedTuple):
    """A turn as some reader first saw it, or saw it differently from before."""

    tenant: str
    session: str
    version: int
    turn_id: str
    position: int
    sha256: str
    seen_s: float
    by: str


class Streamed(NamedTuple):
    """One event of a live stream; `connection` counts the stream's connections."""

    name: str
    version: int
    position: int
    connection: int


@dataclass(slots=True)
class StreamTrace:
    """All that one subscriber got of a session, over all its connections."""

    tenant: str
    session: str
    events: list[Streamed] = field(default_factory=list)
    connections: int = 0


@dataclass(slots=True)
class AuditTrace:
    """The history of one tenant as an auditor read it page after page: (position, payload SHA-256, chain hash)."""

    tenant: str
    log: str
    events: list[tuple[int, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Task:
    """A compression asked for and how it ended ("" while it did not)."""

    tenant: str
    task_id: str
    asked_s: float
    state: str = ""
    ended_s: float = 0.0


class Record:
    """Everything a run saw, in memory and on disk."""

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[Call] = []
        self.sightings: list[Sighting] = []
        self.streams: list[StreamTrace] = []
        self.audits: list[AuditTrace] = []
        self.tasks: dict[str, Task] = {}
        self._seen: dict[tuple[str, str, int], tuple[str, int, str]] = {}
        self._spool: IO[bytes] | None = path.open("wb", buffering=1 << 16) if path else None

    def called(self, call: Call) -> None:
        """Keep one call."""
        self.calls.append(call)
        self._write("call", call)

    def saw(self, sighting: Sighting) -> None:
        """Keep a turn that was read, unless it was seen like this before."""
        key, what = (sighting.tenant, sighting.session, sighting.version), sighting[3:6]
        if self._seen.setdefault(key, what) is what or self._seen[key] != what:
            self.sightings.append(sighting)
            self._write("saw", sighting)

    def streamed(self, trace: StreamTrace, event: Streamed) -> None:
        """Keep an event of a stream."""
        trace.events.append(event)
        self._write("streamed", (trace.tenant, trace.session, *event))

    def note(self, what: str, **facts: Any) -> None:
        """Keep anything else in the spool: faults begun and ended, for whoever reads it afterwards."""
        self._write(what, facts)

    def close(self) -> None:
        """Write out what is buffered."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _write(self, what: str, facts: Any) -> None:
        if self._spool is not None:
            self._spool.write(orjson.dumps({what: facts}, default=list, option=orjson.OPT_APPEND_NEWLINE))


def ranges_of(versions: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ascending versions as inclusive ranges."""
    ranges: list[tuple[int, int]] = []
    for version in versions:
        if ranges and ranges[-1][1] + 1 == version:
            ranges[-1] = (ranges[-1][0], version)
        else:
            ranges.append((version, version))
    return tuple(ranges)
