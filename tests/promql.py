"""What an expression of PromQL names: each metric with the labels that are asked of it. By a real parser."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

_PARTS = ("lhs", "rhs", "expr", "args", "vector_selector", "param")
_MADE = "label_replace"
"""A function whose result has labels that no metric has."""


@dataclass(frozen=True)
class Named:
    """A metric and the labels by which an expression chooses or groups it."""

    metric: str
    labels: frozenset[str]


def named_in(expression: str) -> set[Named]:
    """Every metric that the expression names. Raises `ValueError` for one that is no PromQL."""
    return set(_walk(promql_parser.parse(expression), frozenset()))


def _walk(node: Any, grouped: frozenset[str]) -> Iterator[Named]:
    if isinstance(node, list):
        for part in node:
            yield from _walk(part, grouped)
    elif isinstance(node, promql_parser.VectorSelector):
        yield Named(node.name, grouped | {matcher.name for matcher in node.matchers.matchers})
    elif isinstance(node, promql_parser.Expr):
        if isinstance(node, promql_parser.AggregateExpr):
            # What is grouped within decides which labels there are: those further out are among them, or nothing is.
            grouped = frozenset(_by(node)) or grouped
        if isinstance(node, promql_parser.Call) and node.func.name == _MADE:
            grouped = frozenset()
        for name in _PARTS:
            if (part := getattr(node, name, None)) is not None:
                yield from _walk(part, grouped)


def _by(node: Any) -> list[str]:
    modifier = node.modifier
    return list(modifier.labels) if modifier is not None and "By" in str(modifier.type) else []
