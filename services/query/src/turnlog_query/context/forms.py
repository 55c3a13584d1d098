"""The forms a context can take, by name. A form renders a summary and messages, and says what the result
costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from turnlog_query.context import anthropic, openai, text
from turnlog_query.context.said import Said
from turnlog_query.context.summary_label import LabelledSummary


@dataclass(frozen=True, slots=True)
class Form:
    """`render(summary, messages, gap)` gives the answer's fields; `gap` says that turns were left out
    before them.

    `tokens(fields)` is their exact size; `price(message)` is what one message alone adds to it, to a few
    tokens.
    """

    name: str
    render: Callable[[LabelledSummary | None, Sequence[Said], bool], dict[str, Any]]
    tokens: Callable[[Mapping[str, Any]], int]
    price: Callable[[Said], int]


FORMS: Mapping[str, Form] = {
    "openai": Form("openai", openai.render, openai.tokens, openai.price),
    "anthropic": Form("anthropic", anthropic.render, anthropic.tokens, anthropic.price),
    "text": Form("text", text.render, text.tokens, text.price),
}


def form_of(name: str) -> Form:
    """The form of that name; `KeyError` when there is none."""
    return FORMS[name]
