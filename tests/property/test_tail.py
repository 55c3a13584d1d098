"""The relay's tail: whatever is added, what it gives follows the position asked for without a gap."""

from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.event import TURN_STORED, Event
from turnlog_events.hashing import GENESIS, chain_hash
from turnlog_ingest.relay import in_batches
from turnlog_ingest.tail import Tail


@cache
def at(position: int, size_bytes: int = 10, history: str = "one") -> Event:
    """The event at a position of a history, chained to the one before."""
    event = Event(
        "main", position, history, "t", "s", position, TURN_STORED, 1, f"k{position}", 0, None, None, None,
        b"x" * size_bytes, bytes(32), "", bytes(32),
    )  # fmt: skip
    before = at(position - 1, size_bytes, history).chain_hash if position > 1 else GENESIS
    return replace(event, chain_hash=chain_hash(before, event))


RUNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), max_size=8)


@given(RUNS, st.integers(0, 60), st.integers(1, 10))
def test_events_given_are_the_next_ones(runs: list[tuple[int, int]], position: int, limit: int) -> None:
    tail = Tail(max_events=20)
    newest = 0
    for gap, count in runs:
        tail.add(at(newest + gap + n) for n in range(1, count + 1))
        newest += gap + count
    given_now = [e.position for e in tail.after(position, limit)]
    assert given_now == list(range(position + 1, position + 1 + len(given_now)))
    assert len(given_now) <= limit
    assert len(tail) <= 20
    if runs and runs[-1][1] > 0 and position == newest - 1:
        assert given_now in ([newest], [])


def test_an_unbroken_run_is_given_whole_and_forgotten_once_passed() -> None:
    tail = Tail()
    tail.add(at(n) for n in range(1, 11))
    assert [e.position for e in tail.after(3, 100)] == [4, 5, 6, 7, 8, 9, 10]
    assert tail.after(10, 1) == []
    assert len(tail) == 0


def test_a_gap_starts_the_tail_anew() -> None:
    tail = Tail()
    tail.add([at(1), at(2), at(4)])
    assert tail.after(2, 9) == []
    assert [e.position for e in tail.after(3, 9)] == [4]


def test_too_many_bytes_empty_it() -> None:
    tail = Tail(max_bytes=100)
    tail.add(at(n, 30) for n in range(1, 5))
    assert len(tail) == 0


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 60))
def test_batches_hold_every_event_in_order_within_the_bytes(sizes: list[int], max_bytes: int) -> None:
    events = [at(n, size) for n, size in enumerate(sizes, 1)]
    batches = list(in_batches(events, max_bytes))
    assert [e for batch in batches for e in batch] == events
    assert all(sum(len(e.payload) for e in b) <= max_bytes or len(b) == 1 for b in batches)


def test_a_commit_of_another_history_takes_the_place_of_what_was_there() -> None:
    tail = Tail()
    tail.add(at(n) for n in range(1, 5))
    tail.add(at(n, history="other") for n in range(5, 7))
    assert tail.after(3, 10) == []
    assert [event.event_id for event in tail.after(4, 10)] == ["other", "other"]
