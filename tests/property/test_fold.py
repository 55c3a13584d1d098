"""The fold of a session: the window is a function of head and retractions, and stale summaries fall."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.effects import AddSummary, AddTurn, Effect, HideTurns
from turnlog_events.errors import Corrupt
from turnlog_events.fold import SessionState, apply_effect, required_revision

WINDOW = 5


def a_turn(version: int) -> AddTurn:
    return AddTurn(version, b'{"version":%d,' % version, 3, 1000 + version, f"a{version % 2}", None)


@st.composite
def histories(draw: st.DrawFn) -> list[Effect]:
    """Any order of turns, retractions of versions that exist, and summaries (also stale and overlapping ones)."""
    effects: list[Effect] = []
    head, hidden = 0, []
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["turn", "turn", "turn", "hide", "summary", "none"]))
        if kind == "turn" or head == 0:
            head += 1
            effects.append(a_turn(head))
            continue
        start = draw(st.integers(1, head))
        end = draw(st.integers(start, head))
        if kind == "hide":
            hidden.append((start, end))
            effects.append(HideTurns(start, end))
        elif kind == "summary":
            needed = required_revision(hidden, start, end)
            revision = draw(st.integers(max(1, needed - 1), needed + 1))
            effects.append(AddSummary(start, end, draw(st.integers(1, 3)), revision, b"{}"))
        else:
            effects.append(None)
    return effects


def folded(effects: list[Effect], window: int = WINDOW) -> SessionState:
    state = SessionState()
    for position, effect in enumerate(effects, 1):
        state = apply_effect(state, effect, "main", position, window)
    return state


@given(histories())
def test_the_window_holds_the_visible_turns_of_the_last_versions(effects: list[Effect]) -> None:
    state = folded(effects)
    gone = {v for e in effects if isinstance(e, HideTurns) for v in range(e.from_version, e.to_version + 1)}
    # A retraction hides what was stored before it: versions are never reused, so order does not matter here.
    expected = [v for v in range(max(1, state.version - WINDOW + 1), state.version + 1) if v not in gone]
    assert [v for v, _ in state.turns] == expected


@given(histories())
def test_summaries_are_disjoint_in_order_and_free_of_retracted_turns(effects: list[Effect]) -> None:
    nodes = folded(effects).nodes
    assert all(a.to_version < b.from_version for a, b in itertools.pairwise(nodes))
    seen: list[tuple[int, int]] = []
    for effect in effects:
        if isinstance(effect, HideTurns):
            seen.append((effect.from_version, effect.to_version))
    for node in nodes:
        assert node.revision >= required_revision(seen, node.from_version, node.to_version)


@given(histories(), st.data())
def test_a_window_loaded_from_its_turns_alone_is_the_folded_one(effects: list[Effect], data: st.DataObject) -> None:
    whole, narrow = folded(effects, 1000), folded(effects)
    kept = tuple(t for t in whole.turns if t[0] > whole.version - WINDOW)
    assert replace(whole, turns=kept) == narrow


def test_a_missing_version_is_corruption() -> None:
    with pytest.raises(Corrupt, match="version 3 follows 1"):
        folded([a_turn(1), a_turn(3)])


def test_a_summary_made_before_a_retraction_is_not_taken_after_it() -> None:
    stale = [a_turn(1), a_turn(2), HideTurns(1, 1), AddSummary(1, 2, 1, 1, b"old")]
    assert folded(stale).nodes == ()
    fresh = [*stale, AddSummary(1, 2, 1, 2, b"new")]
    assert [n.body for n in folded(fresh).nodes] == [b"new"]


def test_a_higher_summary_replaces_what_it_covers() -> None:
    effects = [*map(a_turn, range(1, 7)), AddSummary(1, 2, 1, 1, b"a"), AddSummary(3, 4, 1, 1, b"b"),
               AddSummary(5, 6, 1, 1, b"c"), AddSummary(1, 4, 2, 1, b"ab")]  # fmt: skip
    assert [n.body for n in folded(effects).nodes] == [b"ab", b"c"]


def test_a_summary_that_cuts_into_another_is_dropped() -> None:
    effects = [*map(a_turn, range(1, 7)), AddSummary(1, 4, 2, 1, b"x"), AddSummary(3, 6, 1, 1, b"y")]
    assert [n.body for n in folded(effects).nodes] == [b"x"]
