"""Cut the text of a turn into sentences that read well by themselves.

Enters: the text as stored (any language, mark-up, code, 100 KB without a full stop). Leaves: sentences on one
line each, without greetings and photo captions, none longer than MAX_WORDS. Called by `extractive`. Linear in
the text.
"""

import re
from collections.abc import Iterator

from turnlog_events.compose import content_words, fold

MAX_WORDS = 60
MAX_CHARS = 400  # the cap for scripts without spaces, and for words without end
MIN_CONTENT_WORDS = 2  # "Thanks, that's great!" says nothing to remember; "I'm allergic to nuts" does
MIN_SHORTENED_WORDS = 4  # a clause must stand by itself when the rest of its sentence is cut

_CODE = re.compile(r"```.*?(?:```|\Z)", re.S)
_CAPTION = re.compile(r"\[[a-z]{2,12}: [^\[\]]{0,500}\]", re.I)
_LINE = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_BULLET = re.compile(r"^\s*(?:[-*+•>#]{1,6}|\d{1,3}[.)])\s+")
_BORDER = re.compile(r"(?<=[.!?…])[\"')\]”’]{0,3}\s+|(?<=[。！？])")
_GREETING = re.compile(
    r"^(?:(?i:hey|hi|hello|wow|yeah|yep|yup|yes|no|oh|ah|hmm|well|so|thanks|thank you|btw|by the way|also"
    r"|haha|ok|okay|sure|aww?|man|cool|nice|great|totally|absolutely|definitely|exactly|guess what|anyway"
    r"|actually)(?:,? [A-Z]\w{1,30})?\s?[,!:–—-]{1,3}\s)+"
)
# Where an afterthought starts: a dash, ", and …", " and it was …". What turns the meaning round stays with
# its sentence.
_AFTERTHOUGHT = re.compile(
    r"\s[-–—]{1,3}\s|\s?[—;]\s?|,\s(?=(?:and|so|which)\s)"
    r"|\s(?=and (?:it|that|this)(?:['’]s| is| was| has| felt)\b)"
)
_TURN_ROUND = re.compile(
    r"\b(?:but|though|although|however|until|unless|except|if|when|only|not|never|yet|nor|without|instead)\b"
    r"|n['’]t\b",
    re.I,
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a turn in order, each folded to one line and capped; never empty ones."""
    plain = _CAPTION.sub(" ", _CODE.sub("\n", text))
    for line in _LINE.split(plain):
        for part in _BORDER.split(fold(_BULLET.sub("", line))):
            if sentence := clip(_capital(_GREETING.sub("", part.strip()))):
                yield sentence


def clip(sentence: str) -> str:
    """At most MAX_WORDS words and MAX_CHARS characters, cut between words and marked with an ellipsis."""
    if len(sentence) <= MAX_CHARS and sentence.count(" ") < MAX_WORDS:
        return sentence
    head = sentence[: MAX_CHARS - 1]
    if len(sentence) > len(head) and " " in head:
        head = head.rpartition(" ")[0]
    return " ".join(head.split(" ")[:MAX_WORDS]).rstrip(" ,;:-") + "…"


def shortened(sentence: str) -> Iterator[str]:
    """The sentence, and its beginnings that are complete without the afterthoughts that follow."""
    yield sentence
    mark = "?" if sentence.endswith("?") else "."
    for border in _AFTERTHOUGHT.finditer(sentence):
        head = sentence[: border.start()].rstrip(" ,")
        if _TURN_ROUND.search(sentence, border.end()):
            continue
        if len(content_words(head)) >= MIN_SHORTENED_WORDS:
            yield head + mark


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
