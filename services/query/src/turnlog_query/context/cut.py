"""Cutting the newest unit when it is larger than the whole budget, with a mark that says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from turnlog_events.tokens import load
from turnlog_query.context.said import Said, plain_text
from turnlog_query.context.units import Unit

MARK_TOKENS = 14
"""Most that `mark` and the line feed before it can take."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a unit, and how many tokens of its content are not."""

    items: tuple[Said, ...]
    tokens_left_out: int


def mark(tokens: int) -> str:
    """The words that stand where something was cut."""
    return f"[…cut: {tokens} tokens left out]"


def cut_unit(unit: Unit, room: int, price: Callable[[Said], int]) -> Cut:
    """The unit within `room` tokens by `price`: its longest content loses its end first.

    Calls of tools are never cut. When they alone are too long, all that is left is a mark in the role
    `user`, which fits into 15 tokens in every form.
    """
    pieces = [load().encode_ordinary(plain_text(item.content)) for item in unit.items]
    sizes = [len(tokens) for tokens in pieces]
    kept = list(sizes)
    items = list(unit.items)
    while (over := sum(map(price, items)) - room) > 0:
        longest = max(range(len(items)), key=kept.__getitem__)
        if not kept[longest]:
            return _only_a_mark(unit, sum(map(price, unit.items)))
        first_cut = kept[longest] == sizes[longest]
        kept[longest] = max(0, kept[longest] - over - (MARK_TOKENS if first_cut else 0))
        items[longest] = replace(items[longest], content=_shortened(pieces[longest], kept[longest]))
    return Cut(tuple(items), sum(sizes) - sum(kept))


def _only_a_mark(unit: Unit, tokens: int) -> Cut:
    return Cut((Said(unit.last_version, "user", mark(tokens)),), tokens)


def _shortened(pieces: Sequence[int], keep: int) -> str:
    """The first `keep` tokens of a text and the mark. A character parted by the cut is left out whole."""
    head = load().decode_bytes(list(pieces[:keep])).decode(errors="ignore")
    left_out = mark(len(pieces) - keep)
    return f"{head}\n{left_out}" if head else left_out
