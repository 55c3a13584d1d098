"""The context as one readable text: the labelled summary, then who said what, with the day where it changes.

Lines after the first of a message are indented, so that no content can pretend to be another speaker's line.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from turnlog_events.compose import fold as one_line
from turnlog_events.compose import heading
from turnlog_events.tokens import count_tokens
from turnlog_query.context.said import Said, plain_text
from turnlog_query.context.summary_label import LabelledSummary

GAP = "(Turns are left out here.)"
BEGINNING = "(Earlier turns are left out.)"
_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""All that some reader takes for the end of a line."""


def render(summary: LabelledSummary | None, items: Sequence[Said], gap: bool) -> dict[str, Any]:
    """`{"text": …}`: one line a message, longer ones continued with indentation."""
    lines = [summary.labelled(), ""] if summary else []
    if gap and items:
        lines.append(GAP if summary else BEGINNING)
    day = ""
    for said in items:
        today = heading(said.at)
        if today and today != day:
            lines.append(today)
            day = today
        lines.append(line_of(said))
    return {"text": "\n".join(lines).rstrip("\n")}


def tokens(fields: Mapping[str, Any]) -> int:
    """Tokens of the text."""
    return count_tokens(fields["text"])


def price(said: Said) -> int:
    """Tokens of one line alone; beside its neighbours it may differ by a few."""
    return count_tokens(line_of(said) + "\n")


def line_of(said: Said) -> str:
    """One message as a line (or several, indented)."""
    content = plain_text(said.content)
    if said.answers is not None:
        return _indented(f"tool result ({one_line(said.answers)}): {content}")
    name = one_line(said.name or "")
    parts = [f"{name} ({said.role}): {content}" if name else f"{said.role}: {content}"]
    parts += [f"calls {one_line(c.name)} ({one_line(c.id)}): {c.arguments}" for c in said.calls]
    return _indented("\n".join(parts))


def _indented(text: str) -> str:
    return _LINE_END.sub("\n  ", text)
