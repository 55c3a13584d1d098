"""What `doctor` finds, in words. Pure."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

PAGE = "docs/operate.md"
Place = Literal[
    "the-api",
    "postgresql",
    "durability",
    "disk-room",
    "connections",
    "transactions-that-stay-open",
    "clocks",
    "nats",
    "redis",
    "lags",
    "leaders",
    "a-fenced-log",
    "the-model",
    "keys",
    "settings",
    "metrics",
    "replicas-and-deployments",
]
"""Headings of `PAGE`, as links name them."""


class State(Enum):
    """How it is: `BAD` needs somebody to do something, `NOTE` is good to know."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `text` is how it is; for what is not OK, `means` is what users notice of it, `advice` what
    to do next, `read` the place in the documentation; `facts` are for machines."""

    subject: str
    state: State
    text: str
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    means: str = ""
    read: str = ""

    def as_fact(self) -> dict[str, Any]:
        """The finding for machines."""
        return {
            "subject": self.subject,
            "state": self.state.value,
            "text": self.text,
            "advice": self.advice,
            "means": self.means,
            "read": self.read,
            **self.facts,
        }


def bad(subject: str, text: str, means: str, advice: str, read: Place, **facts: Any) -> Finding:
    """Something that needs somebody."""
    return Finding(subject, State.BAD, text, advice, facts, means, f"{PAGE}#{read}")


def note(subject: str, text: str, means: str, advice: str, read: Place, **facts: Any) -> Finding:
    """Something to know of."""
    return Finding(subject, State.NOTE, text, advice, facts, means, f"{PAGE}#{read}")


def well(subject: str, text: str, **facts: Any) -> Finding:
    """Something that is as it should be."""
    return Finding(subject, State.OK, text, facts=facts)


def not_reached(server: str, error: object) -> str:
    """`cannot be reached: why`, said once."""
    why = str(error).removeprefix(server).strip(" :")
    return why if why.startswith("cannot be reached") else f"cannot be reached: {why or type(error).__name__}"


def duration(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 days`."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:,.1f} s"


def size(amount: float) -> str:
    """`12 MiB`."""
    for unit, least in (("TiB", 2.0**40), ("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if amount >= least:
            number = amount / least
            return f"{number:,.1f} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{amount:,.0f} bytes"
