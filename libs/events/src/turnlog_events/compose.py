"""Compose the served summary of a session from its nodes, at read time.

Enters: the nodes (stored summaries) that together cover versions 1..v, and a token budget. Leaves: a text
within the budget and the turns it came from. Called by the query service on reads; the compressor uses
`Choice` for its own nodes. Pure and deterministic: the same nodes and budget give the same text.

A line's `weight` is what its source says about it (news or chit-chat, early or late in its chapter). How rare
its words are, and whether another line says them already, depends on the company it keeps, so that is judged
here and not stored: a node made early is not bound to what was rare then.
"""

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

REPEATED = 0.8  # worth of a word each time a chosen line has said it already
CROWDED = 0.1  # damping per line already chosen of the same chapter
SHORT_CHARS = 60  # lines below this length win nothing by being shorter
MAX_PASSES = 3  # refills with the tokens saved by joining lines of one speaker
MAX_MISSES = 20  # lines too long for what is left, before the choice ends

# Function words, light verbs and words of mere approval: they carry no news in a chat. Other languages have
# none here; there rarity alone does the work.
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
a an the and or but nor so yet if then than as of at by for from in into on onto to with without about over
under after before again up down out off it its this that these those there here is am are was were be been
being do does did doing done has have had having will would shall should can could may might must not no i im
ive id ill you youre youve your yours he she they them their theirs him his her hers we weve us our ours me my
mine myself yourself what which who whom whose when where why how all any both each few more most other some
such only own same too very just also thats whats theres dont didnt doesnt cant isnt wasnt lets let oh hey hi
wow yeah yes well ok okay thanks thank great good nice awesome amazing cool fun glad happy exciting excited
sound sounds look looks totally definitely thing things something anything lot lots stuff way get getting got
go going gone went know think thinking see seeing make makes making made feel feeling wait hope hoping sure
kind bit much many always never ever even still pretty super like love one cannot having want need keep back
take taking try trying come coming give giving tell say said really incredible fantastic wonderful best better
big real actually maybe
""",
    )
)
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)*")
_ENDING = re.compile(r"(?<=[a-z]{3})(?:ies|ing|ed|es|s|e|y)$")
_MONTHS = "January,February,March,April,May,June,July,August,September,October,November,December"
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
# Everything that prints nothing or starts a new line: white space, controls, bidi and zero-width marks,
# fillers, tags.
_UNSEEN = re.compile(
    "[\\s\\x00-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180e\\u200b-\\u200f"
    "\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\ud800-\\udfff"
    "\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One remembered statement: text reads by itself, without speaker and date; `at` is RFC 3339 or ""."""

    version: int
    weight: float
    text: str
    speaker: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One stored summary of versions from..to; `lines` in the order said, `text` the same rendered whole."""

    from_version: int
    to_version: int
    level: int
    revision: int
    lines: tuple[Line, ...]
    text: str
    stats: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Composition:
    """What is served: the text, the turns it came from (ascending, each once), its size by `count`."""

    text: str
    versions: tuple[int, ...]
    tokens: int


def fold(text: str) -> str:
    """The text on one line: runs of white space, control and invisible characters become one space each."""
    return _UNSEEN.sub(" ", text).strip()


def content_words(text: str) -> tuple[str, ...]:
    """The words that carry content, each once, in order (a set's order would differ from run to run).

    Lower case, common English endings off; ideographs and kana count one by one.
    """
    return tuple(dict.fromkeys(filter(None, map(_stem, _WORD.findall(text.lower())))))


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """What counts of a word: "" for an empty one, and no more than 32 characters."""
    plain = word[:32].replace("’", "'").removesuffix("'s")
    return "" if plain.replace("'", "") in _EMPTY_WORDS else _ENDING.sub("", plain)


def rarity(texts: Sequence[Collection[str]]) -> dict[str, float]:
    """Inverse document frequency of each word: ln((n + 1) / (df + 1/2)), at least 0.1."""
    seen = Counter(word for words in texts for word in words)
    return {word: max(0.1, math.log((len(texts) + 1) / (n + 0.5))) for word, n in seen.items()}


class Choice:
    """A greedy choice among `lines` by weight x new rare words per character.

    `take` may be called again when there is more room. `chapters[i]` is the chapter of line i; `rare` is the
    worth of each word (by default as rare as it is in the lines themselves). Worth only falls as lines are
    taken, so stale worths wait in a heap and are renewed when they surface.
    """

    def __init__(
        self, lines: Sequence[Line], chapters: Sequence[Hashable], rare: Mapping[str, float] | None = None
    ) -> None:
        self._lines, self._chapters = lines, chapters
        self._words = [content_words(line.text) for line in lines]
        self._rare = rarity(self._words) if rare is None else rare
        self._told: Counter[str] = Counter()
        self._crowd: Counter[Hashable] = Counter()
        self._said: set[tuple[str, str]] = set()
        self._heap = [(-self._worth(i), i) for i in range(len(lines))]
        heapq.heapify(self._heap)

    def take(self, room: int, price: Callable[[int, bool], int]) -> list[int]:
        """Take lines while their prices fit into `room` tokens; returns their indices, the best first.

        `price(i, first)` is the tokens of line i, `first` if it opens its chapter; it is asked when line i is
        about to be taken. A line that repeats a taken one is never taken. Ends when MAX_MISSES lines did not
        fit.
        """
        chosen: list[int] = []
        missed: list[tuple[float, int]] = []
        while self._heap and room > 0 and len(missed) < MAX_MISSES:
            old, i = heapq.heappop(self._heap)
            if (self._lines[i].speaker, self._lines[i].text) in self._said:
                continue
            now = -self._worth(i)
            if now > old and self._heap and (now, i) > self._heap[0]:
                heapq.heappush(self._heap, (now, i))
            elif (tokens := price(i, not self._crowd[self._chapters[i]])) <= room:
                room -= tokens
                chosen.append(i)
                self._told.update(self._words[i])
                self._crowd[self._chapters[i]] += 1
                self._said.add((self._lines[i].speaker, self._lines[i].text))
            else:
                missed.append((now, i))
        for entry in missed:
            heapq.heappush(self._heap, entry)
        return chosen

    def _worth(self, i: int) -> float:
        rare, told, line = self._rare, self._told, self._lines[i]
        news = 0.1  # so that a line of empty words alone is still worth more than nothing
        for word in self._words[i]:
            worth = rare.get(word, 0.0)
            news += worth * REPEATED ** told[word] if word in told else worth
        crowding = 1 + CROWDED * self._crowd[self._chapters[i]]
        return max(line.weight, 1e-9) * news / max(SHORT_CHARS, len(line.text)) / crowding


def heading(at: str) -> str:
    """The day of an RFC 3339 time as `8 May 2023`; "" if there is none."""
    day = _DAY.match(at)
    if not day or not 1 <= int(day[2]) <= 12:
        return ""
    return f"{int(day[3])} {_MONTHS.split(',')[int(day[2]) - 1]} {day[1]}"


def render(lines: Sequence[Line]) -> str:
    """Lines in the given order as text: a heading where the day changes, then `Name: what they said`.

    Neighbouring lines of one speaker share a line; a line without speaker stands alone.
    """
    out: list[str] = []
    day = speaker = ""
    for line in lines:
        today, name, text = heading(line.at), fold(line.speaker), fold(line.text)
        if today and today != day:
            out.append(today)
            day, speaker = today, ""
        if name and name == speaker:
            out[-1] += f" {text}"
        else:
            out.append(f"{name}: {text}" if name else text)
        speaker = name
    return "\n".join(out)


def compose(nodes: Sequence[Node], max_tokens: int, count: Callable[[str], int]) -> Composition:
    """The summary that is served: the best lines of the nodes within `max_tokens`, in the order said.

    `count` is asked once per line taken and a few times for the whole. Never longer than `max_tokens` by
    `count`; lines are left out only when the budget is spent, or because they repeat another.
    """
    ordered = sorted(nodes, key=lambda node: (node.from_version, node.to_version))
    placed = [(line, (n, line.at[:10])) for n, node in enumerate(ordered) for line in node.lines if fold(line.text)]
    placed.sort(key=lambda entry: entry[0].version)
    lines, chapters = [line for line, _ in placed], [chapter for _, chapter in placed]

    @cache
    def size(text: str) -> int:
        return count(f"{text}\n") if text else 0

    def price(i: int, first: bool) -> int:
        line = render([Line(0, 0.0, lines[i].text, lines[i].speaker)])
        return size(line) + (size(heading(lines[i].at)) if first else 0)

    choice = Choice(lines, chapters)
    kept: list[int] = []
    for _ in range(MAX_PASSES):
        room = max_tokens - (count(render([lines[i] for i in sorted(kept)])) if kept else 0)
        more = choice.take(room, price)
        kept += more
        if not more or len(kept) == len(lines):
            break
    return _fit([(i, lines[i]) for i in kept], max_tokens, count)


def _fit(kept: list[tuple[int, Line]], max_tokens: int, count: Callable[[str], int]) -> Composition:
    """Render; where the parts counted less than the whole does, drop the least worthy until it fits."""
    while True:
        lines = [line for _, line in sorted(kept, key=lambda entry: entry[0])]
        text = render(lines)
        tokens = count(text) if text else 0
        if tokens <= max_tokens or not kept:
            return Composition(text, tuple(sorted({line.version for line in lines})), tokens)
        kept = kept[:-1]
