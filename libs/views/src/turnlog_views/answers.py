"""What a reader gets from the read models, parsed from the replies of `lua/read.lua`. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from turnlog_events.fold import SessionState
from turnlog_views.wire import HEAD_FIELDS, parse_state


@dataclass(frozen=True, slots=True)
class HeadView:
    """A session's head. `window_from` is the first version that the window can hold; `hidden` are retracted
    ranges (from, to); `position` is that of the last event that changed anything here."""

    version: int
    revision: int
    position: int
    tokens: int
    first_us: int
    last_us: int
    agents: tuple[str, ...]
    users: tuple[str, ...]
    window_from: int
    hidden: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TurnsView:
    """The newest turns, oldest first, as the JSON bytes to be served.

    `complete`: no visible turn is missing among the newest `limit` of the session. It is False when the window
    holds fewer than `limit` and older turns exist, which only PostgreSQL has.
    """

    version: int
    revision: int
    turns: list[bytes]
    complete: bool
    window_from: int


@dataclass(frozen=True, slots=True)
class SessionView:
    """The whole read model of a session at one moment; `state` holds the turns of the window and the summaries."""

    state: SessionState
    window_from: int

    @property
    def head(self) -> HeadView:
        """Its head alone."""
        return head_of(self.state, self.window_from)


def head_of(state: SessionState, window_from: int) -> HeadView:
    """The head of a state, also of one that was folded from PostgreSQL."""
    return HeadView(
        state.version,
        state.revision,
        state.position,
        state.tokens,
        state.first_us,
        state.last_us,
        state.agents,
        state.users,
        window_from,
        state.hidden,
    )


def turns_answer(reply: Sequence[Any], limit: int) -> TurnsView:
    """From 'ok', identity, window, version, revision, turns in the window, turns."""
    _, _, window, version_text, revision, _, turns = reply
    version = int(version_text)
    window_from = version - int(window) + 1
    return TurnsView(
        version, int(revision), turns, len(turns) == limit or window_from <= 1, window_from if window_from > 1 else 1
    )


def head_answer(reply: Sequence[Any]) -> HeadView:
    """From 'ok', identity, window, checkpoint and the head."""
    state = parse_state(reply[4 : 4 + HEAD_FIELDS], (), (), head_only=True)
    return head_of(state, _window_from(state.version, reply[2]))


def session_answer(reply: Sequence[Any]) -> SessionView:
    """From 'ok', identity, window, checkpoint, the head, turns and summaries."""
    turns, nodes = reply[4 + HEAD_FIELDS :]
    state = parse_state(reply[4 : 4 + HEAD_FIELDS], turns, nodes)
    return SessionView(state, _window_from(state.version, reply[2]))


def _window_from(version: int, window: bytes) -> int:
    return max(1, version - int(window) + 1)
