"""Summaries without a model: choose the sentences worth keeping and keep them word for word.

Enters: a run of new turns and the earlier nodes of the session, or nodes to roll up. Leaves: a `Draft`, the
lines of a new node in the order said. Called by the compressor when no model is set or none answers. Pure,
deterministic, linear in the text. A node keeps several times what will be served of it:
`turnlog_events.compose` makes the final choice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from turnlog_compressor.salience import Place, salience
from turnlog_compressor.sentences import MIN_CONTENT_WORDS, clip, sentences, shortened
from turnlog_compressor.source import SourceTurn
from turnlog_events.compose import SHORT_CHARS, Choice, Line, Node, content_words, fold, rarity

FAN_IN = 8  # nodes of one level that become one node of the next
LEAF_TOKENS = 400  # size of a level-1 node
ROLLED_TOKENS = 1_600  # size of a node of every higher level
CHAPTER_TURNS = 60
CHAPTER_GAP_S = 3_600.0
FULL_SALIENCE = 20.0  # a sentence this salient weighs 1, as a line written by a model does

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Draft:
    """The lines of a node to be, in the order said; `stats` is empty, rarity is judged at read time."""

    lines: tuple[Line, ...]
    stats: Mapping[str, float] = field(default_factory=dict)


def summarise_turns(turns: Sequence[SourceTurn], earlier: Sequence[Node], max_tokens: int, count: Count) -> Draft:
    """The best sentences of a run of turns, at most `max_tokens` by `count` (asked once per line taken).

    `earlier` are the session's nodes before the run: they tell which words are not new, and whether the run
    starts a chapter. A run with any text gives at least one line if one fits.
    """
    background = [content_words(line.text) for node in earlier for line in node.lines]
    said = [frozenset(w for text in sentences(turn.text) for w in content_words(text)) for turn in turns]
    rare = rarity([*said, *background])
    lines = list(_candidates(turns, said, rare, starts=_starts_chapter(turns, earlier)))
    return Draft(_best(lines or _fallback(turns), rare, max_tokens, count))


def roll_up(nodes: Sequence[Node], max_tokens: int, count: Count) -> Draft:
    """The best lines of several nodes, word for word with their weights, at most `max_tokens` by `count`."""
    lines = sorted((line for node in nodes for line in node.lines), key=lambda line: line.version)
    return Draft(_best(lines, rarity([content_words(line.text) for line in lines]), max_tokens, count))


def split_chapters(
    turns: Sequence[SourceTurn], max_turns: int = CHAPTER_TURNS, gap_s: float = CHAPTER_GAP_S
) -> list[Sequence[SourceTurn]]:
    """The turns in runs; a new one after a silence longer than `gap_s` seconds or after `max_turns` turns."""
    chapters: list[Sequence[SourceTurn]] = []
    start = 0
    for i in range(1, len(turns) + 1):
        if i == len(turns) or i - start >= max_turns or _silence_s(turns[i - 1].at, turns[i].at) > gap_s:
            chapters.append(turns[start:i])
            start = i
    return chapters


def _candidates(
    turns: Sequence[SourceTurn], said: Sequence[frozenset[str]], rare: Mapping[str, float], *, starts: bool
) -> Iterator[Line]:
    """One line per telling sentence: its best beginning, weighed by what it says and where it stands."""
    speakers = frozenset(name for turn in turns for name in turn.speaker.lower().split())
    names = frozenset(word for name in speakers for word in content_words(name))
    ordinal = 0
    for n, turn in enumerate(turns):
        answered = n + 1 < len(turns) and turns[n + 1].speaker != turn.speaker
        answer = said[n + 1] if answered else frozenset[str]()
        for sentence in sentences(turn.text):
            forms: list[tuple[float, Line]] = []
            for text in shortened(sentence):
                words = [w for w in content_words(text) if w not in names]
                if len(words) < MIN_CONTENT_WORDS:
                    continue
                echo = len(answer.intersection(words)) / len(words)
                place = Place(ordinal if starts else None, echo, turn.role)
                weight = min(1.0, round(salience(text, place, speakers) / FULL_SALIENCE, 4))
                worth = weight * sum(rare.get(w, 0.0) for w in words) / max(SHORT_CHARS, len(text))
                forms.append((worth, Line(turn.version, weight, text, _name(turn), turn.at)))
            if forms:
                ordinal += 1
                yield max(forms, key=lambda form: form[0])[1]


def _fallback(turns: Sequence[SourceTurn]) -> list[Line]:
    """When nothing tells: the turns themselves, clipped, so that no run of turns is forgotten whole."""
    texts = ((turn, clip(fold(turn.text))) for turn in turns)
    return [Line(turn.version, 0.01, text, _name(turn), turn.at) for turn, text in texts if text]


def _best(lines: Sequence[Line], rare: Mapping[str, float], max_tokens: int, count: Count) -> tuple[Line, ...]:
    def price(i: int, first: bool) -> int:
        return count(f"{lines[i].speaker}: {lines[i].text}\n")

    choice = Choice(lines, [line.at[:10] for line in lines], rare)
    return tuple(lines[i] for i in sorted(choice.take(max_tokens, price)))


def _name(turn: SourceTurn) -> str:
    return fold(turn.speaker) or fold(turn.role)


def _starts_chapter(turns: Sequence[SourceTurn], earlier: Sequence[Node]) -> bool:
    """Whether the run starts a chapter: the session's first, or a silence after the last line kept before."""
    last = max((line.at for node in earlier for line in node.lines), default="")
    return bool(turns) and (not earlier or _silence_s(last, turns[0].at) > CHAPTER_GAP_S)


def _silence_s(before: str, after: str) -> float:
    """Seconds from one RFC 3339 time to another; 0 if either is missing or malformed."""
    try:
        return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
