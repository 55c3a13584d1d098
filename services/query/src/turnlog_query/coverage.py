"""What a session's summaries cover, and their lineage. Pure.

Enters: the summaries of a read model, disjoint and in order of versions. Leaves: those that together cover
1..v without a hole, as the nodes that `turnlog_events.compose` takes and as lineage for the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from turnlog_events.compose import Composition, Line, Node, compose
from turnlog_events.fold import SummaryNode
from turnlog_events.tokens import count_tokens

LINEAGE = (
    "event_id",
    "position",
    "level",
    "from_version",
    "to_version",
    "revision",
    "model",
    "prompt_version",
    "tokens_in",
    "tokens_out",
    "sources",
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Summaries that cover 1..`to_version` (0: none), parsed."""

    to_version: int
    bodies: tuple[dict[str, Any], ...]

    def composer(self) -> Callable[[int], Composition]:
        """The text within a number of tokens."""
        nodes = [_node(body) for body in self.bodies]
        return lambda max_tokens: compose(nodes, max_tokens, count_tokens)

    def lineage(self) -> list[dict[str, Any]]:
        """Where the text comes from, one object a summary, in order of versions."""
        return [{"made_at": body["recorded_at"], **{name: body[name] for name in LINEAGE}} for body in self.bodies]


def covered_to(nodes: Sequence[SummaryNode], hidden: Sequence[tuple[int, int]]) -> int:
    """The v up to which `nodes` cover every version from 1 on, retracted ones excepted; 0 for none."""
    prefix = _prefix(nodes, hidden)
    return prefix[-1].to_version if prefix else 0


def coverage_of(nodes: Sequence[SummaryNode], hidden: Sequence[tuple[int, int]]) -> Coverage:
    """The summaries that cover 1..v."""
    prefix = _prefix(nodes, hidden)
    bodies = tuple(orjson.loads(node.body) for node in prefix)
    return Coverage(prefix[-1].to_version if prefix else 0, bodies)


def _prefix(nodes: Sequence[SummaryNode], hidden: Sequence[tuple[int, int]]) -> list[SummaryNode]:
    prefix: list[SummaryNode] = []
    reach = 0
    for node in nodes:
        if node.from_version > _past_hidden(reach, hidden) + 1:
            break
        prefix.append(node)
        reach = node.to_version
    return prefix


def _past_hidden(version: int, hidden: Sequence[tuple[int, int]]) -> int:
    """The last version from `version` on such that all between are retracted."""
    for start, end in sorted(hidden):
        if start <= version + 1 <= end:
            version = end
    return version


def _node(body: dict[str, Any]) -> Node:
    return Node(
        from_version=body["from_version"],
        to_version=body["to_version"],
        level=body["level"],
        revision=body["revision"],
        lines=tuple(Line(*line) for line in body["lines"]),
        text=body["text"],
        stats=body.get("stats", {}),
    )
