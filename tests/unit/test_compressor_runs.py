"""Where level-1 summaries begin and end: given turns, when windows fill, then runs of versions."""

from hypothesis import given
from hypothesis import strategies as st

from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.runs import RunSettings, closing_runs, full_runs
from turnlog_compressor.source import SourceTurn
from turnlog_compressor.transcript import Piece
from turnlog_events.event import rfc3339

POLICY = PolicySettings()
RUNS = RunSettings()
HOUR_US = 3_600_000_000


def pieces(sizes: list[tuple[int, int]]) -> list[Piece]:
    """One turn per (tokens, hours of silence before it)."""
    at, out = 0, []
    for version, (tokens, hours) in enumerate(sizes, 1):
        at += 60_000_000 + hours * HOUR_US
        out.append(Piece(SourceTurn(version, "user", "Ann", "x", rfc3339(at)), tokens))
    return out


def test_a_window_that_is_not_full_has_no_run() -> None:
    assert full_runs(pieces([(20, 0)] * 39), POLICY, RUNS) == []


def test_a_full_window_of_one_chapter_is_cut_before_its_tail() -> None:
    assert full_runs(pieces([(20, 0)] * 40), POLICY, RUNS) == [(1, 30)]


def test_a_chapter_that_may_go_on_is_left_open() -> None:
    talk = [(20, 0)] * 18 + [(20, 5)] + [(20, 0)] * 21
    assert full_runs(pieces(talk), POLICY, RUNS) == [(1, 18)]


def test_small_chapters_share_a_run() -> None:
    talk = [(20, 5), (20, 0)] * 20
    runs = full_runs(pieces(talk), POLICY, RUNS)
    assert runs == [(1, 8), (9, 16), (17, 24)]


def test_large_turns_fill_a_window_by_their_tokens_and_may_leave_no_tail() -> None:
    assert full_runs(pieces([(70_000, 0)]), POLICY, RUNS) == [(1, 1)]
    assert full_runs(pieces([(1_400, 0), (1_400, 0), (300, 0)]), POLICY, RUNS) == [(1, 2)]


def test_a_last_run_that_is_not_full_is_left_open_even_without_a_tail() -> None:
    talk = [(40, 0)] * 10 + [(1_500, 5), (1_500, 5)]
    assert full_runs(pieces(talk), POLICY, RUNS) == [(1, 10), (11, 11)]


def test_closing_takes_every_turn() -> None:
    assert closing_runs(pieces([(20, 0)] * 3), RUNS) == [(1, 3)]
    assert closing_runs(pieces([(20, 0)] * 10 + [(20, 5)]), RUNS) == [(1, 10), (11, 11)]
    assert closing_runs([], RUNS) == []


TALKS = st.lists(st.tuples(st.sampled_from([5, 40, 400, 5_000]), st.sampled_from([0, 0, 0, 2])), max_size=150)


@given(TALKS, st.integers(0, 150))
def test_runs_do_not_depend_on_when_somebody_looks(talk: list[tuple[int, int]], seen: int) -> None:
    whole = full_runs(pieces(talk), POLICY, RUNS)
    early = full_runs(pieces(talk)[:seen], POLICY, RUNS)
    assert whole[: len(early)] == early


@given(TALKS)
def test_what_is_left_after_full_runs_is_less_than_a_window(talk: list[tuple[int, int]]) -> None:
    turns = pieces(talk)
    runs = full_runs(turns, POLICY, RUNS)
    rest = [p for p in turns if p.version > (runs[-1][1] if runs else 0)]
    assert len(rest) < POLICY.turns
    assert sum(p.tokens for p in rest) < POLICY.tokens
