"""Which builds count as abandoned: those that stand still, not those that move, are live, or are kept."""

import time

import pytest

from turnlog_projector.abandoned import Abandoned
from turnlog_views.partitions import Meta, Partition


def metas(reached: int) -> list[Meta]:
    """Generation 1 is live, 3 is kept, 2 was begun."""
    generations = frozenset({1, 2, 3})
    return [Meta(n, 1, {g: Partition(n, g, reached) for g in generations}, generations, {3: 9}) for n in range(2)]


def test_only_a_build_that_stands_still_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    abandoned = Abandoned(60.0)
    due = []
    for reached in (5, 6, 6, 6):
        abandoned.saw(metas(reached))
        due.append(abandoned.due())
        now_s += 40.0
    assert due == [{}, {}, {}, {2: 12}]


def test_a_build_that_is_gone_is_forgotten() -> None:
    abandoned = Abandoned(0.0)
    abandoned.saw(metas(5))
    assert abandoned.due() == {2: 10}
    abandoned.saw([Meta(0, 1, {1: Partition(0)}, frozenset({1}), {})])
    assert abandoned.due() == {}
