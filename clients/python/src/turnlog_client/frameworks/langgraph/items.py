"""A namespace of the store as its records say it: which keys there are, with which values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langgraph.store.base import ListNamespacesOp, MatchCondition

from turnlog_client.frameworks.history import Span
from turnlog_client.frameworks.langgraph.records import Record

ITEM, TOUCH = "langgraph.item", "langgraph.touch"
"""The types of the two records: a value (or that there is none any more), and a later end of one's life."""
Namespace = tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """One key: the record of its value, when it was stored first and last (RFC 3339), when it ends (seconds since 1970,
    None: never), and every version that ever held it."""

    record: Record
    created_at: str
    updated_at: str
    expires_at: float | None
    spans: tuple[Span, ...]

    def lives(self, now: float) -> bool:
        """Whether it has not ended."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True)
class Shelf:
    """A namespace up to a version of its session; `revision` tells whether anything was retracted since."""

    version: int = 0
    revision: int = 0
    keys: Mapping[str, Kept] = field(default_factory=dict)

    def living(self, now: float) -> list[Kept]:
        """The keys there are, the one stored last first."""
        found = [kept for kept in self.keys.values() if kept.lives(now)]
        return sorted(found, key=lambda kept: kept.record.version, reverse=True)


def grown(shelf: Shelf, records: Sequence[Record], version: int, revision: int) -> Shelf:
    """The namespace with more records."""
    keys = dict(shelf.keys)
    for record in records:
        head = record.head
        known = keys.get(head["key"])
        if head["type"] == TOUCH:
            if known is not None:
                spans = (*known.spans, *record.spans)
                keys[head["key"]] = replace(known, expires_at=head["expires_at"], spans=spans)
        elif head.get("deleted"):
            keys.pop(head["key"], None)
        else:
            created_at = known.created_at if known else record.recorded_at
            spans = (*(known.spans if known else ()), *record.spans)
            keys[head["key"]] = Kept(record, created_at, record.recorded_at, head.get("expires_at"), spans)
    return Shelf(version, revision, keys)


def matches(value: Any, wanted: Any) -> bool:
    """Whether a stored value is what a search's filter asks for: equal, or within its `$` comparisons.

    Raises ValueError for an operator that there is not.
    """
    if isinstance(wanted, Mapping):
        if any(key.startswith("$") for key in wanted):
            return all(_compares(value, operator, operand) for operator, operand in wanted.items())
        return isinstance(value, Mapping) and all(matches(value.get(key), item) for key, item in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(wanted) and all(map(matches, value, wanted))
    return bool(value == wanted)


def _compares(value: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return bool(value == operand)
    if operator == "$ne":
        return bool(value != operand)
    if operator not in ("$gt", "$gte", "$lt", "$lte"):
        raise ValueError(f"filter operator {operator}: must be $eq, $ne, $gt, $gte, $lt or $lte")
    try:
        left, right = float(value), float(operand)
    except (TypeError, ValueError):
        return False
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[operator]


def listed(namespaces: Sequence[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """The namespaces that an operation asks for, cut to its depth, in order, one page."""
    cut = {space[: op.max_depth] for space in namespaces if is_meant(space, op.match_conditions)}
    return sorted(cut)[op.offset : op.offset + op.limit]


def is_meant(namespace: Namespace, conditions: Sequence[MatchCondition] | None) -> bool:
    """Whether a namespace meets all conditions; `*` stands for any label."""
    return all(_meets(namespace, condition) for condition in conditions or ())


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    labels = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(labels, path, strict=True))
