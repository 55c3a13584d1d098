"""How much a sentence looks like something to remember, before the rarity of its words is known.

Enters: a sentence and its place. Leaves: a factor; 1 is a plain remark late in a chapter. Called by
`extractive`. What counts: someone tells of themselves, of what happened, when, with names and numbers; it
comes early in a chapter, where people tell their news; the other side takes it up. Questions and remarks
about the listener count less. The cues are English grammar (pronouns, tenses, calendar words), not vocabulary
of any subject; in other languages they do not fire and place, echo and rarity decide. The factors lie in the
middle of wide plateaus (docs/adr/0004).
"""

import re
from dataclasses import dataclass

ABOUT_SELF = 1.5  # opens with I, we, my, our
SELF_DID = 1.25  # "I went", "we've finally moved"
PAST = 1.25
DATED = 1.25  # yesterday, last week, finally, new
QUESTION = 0.5
ABOUT_LISTENER = 0.7
LEANING = 0.7  # opens with it, that, they: what it means stands elsewhere
NAME = 0.4  # per name, at most MAX_NAMES
MAX_NAMES = 3
NUMBER = 0.3
EARLY = 1.0  # for the first sentence of a chapter, half of it at sentence EARLY_HALF
EARLY_HALF = 10
ECHO = 1.5  # if every content word is taken up by the next turn of another speaker
MACHINE = 0.2  # tool output, JSON, tables: a share of MARKS or more is ASCII digits and punctuation
MARKS = 0.4

_IRREGULAR = (
    "was|were|had|did|went|got|made|took|came|saw|found|felt|told|gave|met|won|lost|bought|brought|began|ran"
    "|wrote|read|built|taught|left|kept|thought|heard|held|spent|fell|broke|caught|chose|grew|knew|led|paid|sent|sat|stood|sold"
    "|drove|ate|drew|flew|forgot|hit|put|set|became|been|gone|done|seen|taken"
)
_PAST = re.compile(rf"\b(?:{_IRREGULAR}|[a-z]{{3,20}}ed)\b", re.I)
_SELF_DID = re.compile(
    r"\b(?:i|we)(?:['’]ve|['’]d| have| had| just| finally| recently| also| actually)* "
    rf"(?:{_IRREGULAR}|[a-z]{{3,20}}ed)\b",
    re.I,
)
_ABOUT_SELF = re.compile(r"(?:[\w'’]+,? )?(?:i|we|my|our)\b", re.I)
_ABOUT_LISTENER = re.compile(r"\b(?:you|yours?)\b", re.I)
_LEANING = re.compile(r"(?:it|this|that|these|those|they|he|she|there)\b", re.I)
_DATED = re.compile(
    r"\b(?:just|recently|finally|yesterday|last|ago|today|tonight|tomorrow|weekend|week|month|year|morning"
    r"|night|next|since|new|first|started)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[^\W\d_] |[,\d] )[A-Z][\w&-]+")
_QUESTION = re.compile(r"[?？][\"')\]”’]*$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sentence stands.

    `ordinal` 0, 1, … among the telling sentences of its chapter (None if it is not known where the chapter
    began), `echo` 0..1 the share of its content words that the next speaker takes up.
    """

    ordinal: int | None
    echo: float
    role: str


def salience(sentence: str, place: Place, speakers: frozenset[str]) -> float:
    """The product of the factors above, about 0.05..50; `speakers` (lower case) are not names to remember."""
    factor = 1.0
    for pattern, worth in (
        (_ABOUT_SELF.match, ABOUT_SELF),
        (_SELF_DID.search, SELF_DID),
        (_PAST.search, PAST),
        (_DATED.search, DATED),
        (_ABOUT_LISTENER.search, ABOUT_LISTENER),
        (_LEANING.match, LEANING),
        (_QUESTION.search, QUESTION),
    ):
        if pattern(sentence):
            factor *= worth
    names = {name for name in _NAME.findall(sentence) if name.lower() not in speakers}
    factor *= 1 + NAME * min(MAX_NAMES, len(names))
    if any(c.isdigit() for c in sentence):
        factor *= 1 + NUMBER
    if place.ordinal is not None:
        factor *= 1 + EARLY / (1 + place.ordinal / EARLY_HALF)
    factor *= 1 + ECHO * place.echo
    return factor * (MACHINE if _from_machine(sentence, place.role) else 1)


def _from_machine(sentence: str, role: str) -> bool:
    marks = sum(c.isascii() and not c.isalpha() and c != " " for c in sentence)
    return role == "tool" or marks >= MARKS * len(sentence)
