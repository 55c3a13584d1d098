"""When a session is due for compression. Pure: what is known of the session, and the time, in; a reason out.

Called by `watchlist` after every event and every tick, so it looks at counters only. That a session is due is a reason
to look at it, not yet work: `plan` reads the session and decides what is to be made.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a session is due."""

    REQUESTED = "requested"
    RETRACTED = "retracted"
    TURNS = "turns"
    TOKENS = "tokens"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A session is due with `turns` or `tokens` not yet summarised, or with `idle_turns` and no new turn for `idle_s`.

    A busy session keeps its newest `tail_turns` (or the newest `tail_tokens`, if they are fewer) uncovered, so that
    recent talk is read as it was said; an idle one, and one that somebody asked for, is covered whole.
    """

    turns: int = 40
    tokens: int = 3_000
    idle_s: float = 600.0
    idle_turns: int = 8
    tail_turns: int = 10
    tail_tokens: int = 1_000

    def __post_init__(self) -> None:
        if not (0 <= self.tail_turns < self.turns and 0 <= self.tail_tokens < self.tokens):
            raise ValueError("the tail must be smaller than what makes a session due")
        if not (1 <= self.idle_turns <= self.turns and self.idle_s > 0):
            raise ValueError("idle_turns must lie in 1..turns, and idle_s above 0")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a session: how much is not summarised yet, how long it was silent, what was asked."""

    uncovered_turns: int
    uncovered_tokens: int
    silent_s: float
    retracted: bool = False
    requested: bool = False


def due(standing: Standing, settings: PolicySettings) -> Reason | None:
    """Why the session is due now; None while it is not."""
    if standing.requested:
        return Reason.REQUESTED
    if standing.retracted:
        return Reason.RETRACTED
    if standing.uncovered_turns >= settings.turns:
        return Reason.TURNS
    if standing.uncovered_tokens >= settings.tokens:
        return Reason.TOKENS
    if standing.uncovered_turns >= settings.idle_turns and standing.silent_s >= settings.idle_s:
        return Reason.IDLE
    return None


def may_become_idle(standing: Standing, settings: PolicySettings) -> bool:
    """Whether silence alone will make the session due."""
    return standing.uncovered_turns >= settings.idle_turns
