"""What `doctor` finds, in words. Pure."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class State(Enum):
    """How it is: `BAD` needs somebody to do something."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `advice` is what to do about it, `facts` are for machines."""

    subject: str
    state: State
    text: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def lag(subject: str, what: str, position: int, head: int, advice: str, *, moves: bool = True) -> Finding:
    """How far a consumer of the log is, and whether it moved while it was looked at. One that is ahead of the log is
    as wrong as one that stays behind."""
    facts = {"position": position, "head": head, "lag": head - position}
    if position == head:
        return Finding(subject, State.OK, f"{what} at position {position:,}, no lag", facts=facts)
    if position > head:
        text = f"{what} at position {position:,}, AHEAD of the log's {head:,}"
        ahead = f"PostgreSQL went back to an older state; {advice}"
        return Finding(subject, State.BAD, text, ahead, facts)
    text = f"{what} at position {position:,} of {head:,}, {head - position:,} behind"
    if not moves:
        return Finding(subject, State.BAD, f"{text}, and it does not move", advice, facts)
    return Finding(subject, State.NOTE, text, advice, facts)


def waiting(log: str, position: int, head: int) -> Finding:
    """The compressor's checkpoint. It stays before the oldest session that waits for a summary: that is no lag."""
    if position >= head:
        return lag("compressor", f"{log}: checkpoint", position, head, "the compressor drops what it knows")
    text = f"{log}: checkpoint at position {position:,} of {head:,}: sessions since then may wait for a summary"
    return Finding("compressor", State.OK, text, facts={"log": log, "position": position, "head": head})


def away(subject: str, reason: object, advice: str) -> Finding:
    """A server that does not answer."""
    return Finding(subject, State.BAD, f"cannot be reached: {reason}", advice)
