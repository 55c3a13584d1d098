"""Read a model's answer. Pure: text in, lines or `Unreadable` out; all of a summary or nothing.

Tolerant in form (bullets, bold, `v3:`, code fences, a sentence before the list), strict in what it takes: only lines
with a version that the prompt showed, folded to one line, without characters that print nothing, bounded in number and
length.
"""

import re
from collections.abc import Mapping

from turnlog_compressor.prompt import Prompt
from turnlog_compressor.sentences import clip
from turnlog_events.compose import Line, fold

ANSWER_CHARS = 65_536
"""More than any answer needs; models are cut off while they are read, this is the second fence."""

_LINE = re.compile(
    r"[\s>*•#_-]{0,8}(?:\d{1,3}[.)]\s{1,3})?[*_]{0,2}[\[(]\s?v?\.?(?:ersion)?\s?(\d{1,15})\s?[^\])]{0,40}[\])]"
    r"[*_:\s–—-]{0,6}(.*)",
    re.IGNORECASE,
)
_PROSE_SHARE = 0.5


class Unreadable(Exception):
    """The answer is no summary. `why` is a word for metrics and never holds what was answered."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def parse(answer: str, prompt: Prompt, at: Mapping[int, str]) -> tuple[Line, ...]:
    """The lines of the answer in order of version; `at` gives the time of each version's turn.

    Raises `Unreadable`: nothing usable in it (`empty`), more prose than lines or versions never shown (`form`), or too
    long (`too_long`).
    """
    if len(answer) > ANSWER_CHARS:
        raise Unreadable("too_long")
    rows = [row for row in answer.splitlines() if row.strip() and not row.lstrip().startswith("```")]
    lines: dict[tuple[int, str], Line] = {}
    read = 0
    for row in rows:
        if (line := _line(row, prompt, at)) is not None:
            read += 1
            lines.setdefault((line.version, line.text), line)
    if not lines:
        raise Unreadable("form" if rows else "empty")
    if read < _PROSE_SHARE * len(rows):
        raise Unreadable("form")
    kept = list(lines.values())[: 2 * prompt.max_lines]
    return tuple(sorted(kept, key=lambda line: line.version))


def _line(row: str, prompt: Prompt, at: Mapping[int, str]) -> Line | None:
    match = _LINE.match(row)
    if match is None or int(match[1]) not in prompt.versions:
        return None
    text = clip(fold(match[2]).strip("*_ "))
    version = int(match[1])
    return Line(version, 1.0, text, "", at.get(version, "")) if any(c.isalnum() for c in text) else None
