"""Where level-1 summaries begin and end. Pure: turns in, runs of versions out.

The borders follow from the turns alone and not from when somebody looked: two compressors, or one that replays a
backlog, find the same ones, so a race or a restart makes the same keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from turnlog_compressor.extractive import CHAPTER_GAP_S, CHAPTER_TURNS, LEAF_TOKENS, split_chapters
from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.transcript import Piece, Range


@dataclass(frozen=True, slots=True)
class RunSettings:
    """A level-1 summary is of whole chapters, as many as it takes to reach `turns_min` turns or `tokens_min` tokens:
    a talk of two lines a day must not become a summary a day."""

    turns_min: int = 8
    tokens_min: int = 2 * LEAF_TOKENS
    chapter_turns: int = CHAPTER_TURNS
    chapter_gap_s: float = CHAPTER_GAP_S


def full_runs(pieces: Sequence[Piece], policy: PolicySettings, settings: RunSettings) -> list[Range]:
    """The runs that a busy session has ready: window by window, each as soon as it is full, without its tail.

    A window ends at the turn that makes it due by `policy`. Its last run is left open, for its chapter may go
    on, and so is one that reaches into the tail; if that leaves none, the chapter is cut where the tail begins. Ranges
    are of visible turns.
    """
    runs: list[Range] = []
    start = 0
    while (full := _window(pieces, start, policy)) is not None:
        room = full - _tail(pieces[start:full], policy)
        ready = [(a + start, b + start) for a, b in packed(pieces[start:full], settings)[:-1] if b + start < room]
        ready = ready or [(start, room - 1)]
        runs += [(pieces[a].version, pieces[b].version) for a, b in ready]
        start = ready[-1][1] + 1
    return runs


def closing_runs(pieces: Sequence[Piece], settings: RunSettings) -> list[Range]:
    """The runs that take all of `pieces`, to the last turn."""
    return [(pieces[a].version, pieces[b].version) for a, b in packed(pieces, settings)]


def packed(pieces: Sequence[Piece], settings: RunSettings) -> list[Range]:
    """Indices first..last (inclusive) of runs of whole chapters; all but the last reach the minimum."""
    chapters = split_chapters([piece.turn for piece in pieces], settings.chapter_turns, settings.chapter_gap_s)
    runs: list[Range] = []
    start = end = 0
    for chapter in chapters:
        end += len(chapter)
        tokens = sum(piece.tokens for piece in pieces[start:end])
        if end - start >= settings.turns_min or tokens >= settings.tokens_min:
            runs.append((start, end - 1))
            start = end
    return [*runs, (start, end - 1)] if start < end else runs


def _window(pieces: Sequence[Piece], start: int, policy: PolicySettings) -> int | None:
    """The index after the turn that fills the window from `start`; None while it is not full."""
    tokens = 0
    for index in range(start, len(pieces)):
        tokens += pieces[index].tokens
        if index + 1 - start >= policy.turns or tokens >= policy.tokens:
            return index + 1
    return None


def _tail(window: Sequence[Piece], policy: PolicySettings) -> int:
    """How many turns at the end of a full window stay uncovered: always fewer than it has."""
    tokens = 0
    for count, piece in enumerate(reversed(window)):
        tokens += piece.tokens
        if count == policy.tail_turns or tokens > policy.tail_tokens:
            return count
    return 0
