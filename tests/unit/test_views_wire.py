"""States and replies: what is written is read back the same, and a digest covers every byte."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.fold import SessionState, SummaryNode
from turnlog_views.answers import head_answer, session_answer, turns_answer
from turnlog_views.partitions import Meta, Partition
from turnlog_views.wire import HEAD_FIELDS, head_arguments, load_arguments, parse_state, state_digest

members = st.lists(st.text("abz.~@", min_size=1, max_size=5), unique=True, max_size=4).map(tuple)
number = st.integers(0, 2**53 - 1)


@st.composite
def states(draw: st.DrawFn) -> SessionState:
    versions = sorted(draw(st.sets(st.integers(1, 99), max_size=5)))
    starts = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    return SessionState(
        *(draw(number) for _ in range(6)),
        agents=draw(members),
        users=draw(members),
        turns=tuple((v, b'{"version":%d,"x":"%s"}' % (v, draw(st.binary(max_size=4)))) for v in versions),
        nodes=tuple(SummaryNode(s, s + 3, 2, draw(st.integers(1, 9)), draw(st.binary(max_size=9))) for s in starts),
        hidden=tuple(draw(st.lists(st.tuples(number, number), max_size=3))),
    )


def as_bytes(value: str | bytes | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def as_answer(state: SessionState, window: int = 200) -> list[object]:
    """What `session` answers for it."""
    flat = [as_bytes(value) for value in load_arguments("t/s", state)]
    head, count = flat[:HEAD_FIELDS], len(state.turns)
    first = HEAD_FIELDS + 1
    return [b"ok", b"t/s", b"%d" % window, b"7", *head, flat[first : first + count], flat[first + count :]]


@given(states())
def test_a_state_is_read_back_as_it_was_written(state: SessionState) -> None:
    assert session_answer(as_answer(state)).state == state


@given(states(), st.integers(1, 300))
def test_a_head_says_the_same_with_and_without_its_turns(state: SessionState, window: int) -> None:
    answer = as_answer(state, window)
    assert head_answer(answer[: 4 + HEAD_FIELDS]) == session_answer(answer).head
    assert head_answer(answer).window_from == max(1, state.version - window + 1)


def test_a_head_without_its_summary_is_no_state() -> None:
    state = SessionState(nodes=(SummaryNode(1, 2, 1, 1, b"{}"),))
    with pytest.raises(KeyError):
        parse_state([as_bytes(v) for v in head_arguments("t/s", state)], (), ())


@given(states(), states())
def test_digests_are_equal_only_for_equal_states(one: SessionState, other: SessionState) -> None:
    assert (state_digest("t/s", one) == state_digest("t/s", other)) == (one == other)
    assert state_digest("t/s", one) != state_digest("t/r", one)


def test_a_digest_notices_bytes_that_moved_from_one_turn_to_the_next() -> None:
    one = SessionState(turns=((1, b'{"version":1,"a":"bc"}'), (2, b'{"version":2,"a":""}')))
    other = replace(one, turns=((1, b'{"version":1,"a":"b"}'), (2, b'{"version":2,"a":"c"}')))
    assert state_digest("t/s", one) != state_digest("t/s", other)


@pytest.mark.parametrize(
    ("version", "window", "found", "limit", "complete", "window_from"),
    [
        (3, 200, 3, 20, True, 1),  # all there is
        (500, 200, 20, 20, True, 301),  # as many as asked for
        (500, 200, 200, 201, False, 301),  # older ones are in PostgreSQL only
        (200, 200, 150, 151, True, 1),  # the rest is retracted
        (201, 200, 150, 151, False, 2),
    ],
)
def test_an_answer_is_complete_only_if_no_older_turn_is_missing(
    version: int, window: int, found: int, limit: int, complete: bool, window_from: int
) -> None:
    reply = [b"ok", b"t/s", b"%d" % window, b"%d" % version, b"4", b"%d" % found, [b"{}"] * found]
    view = turns_answer(reply, limit)
    assert (view.complete, view.window_from, view.version, view.revision) == (complete, window_from, version, 4)


def test_a_meta_without_a_live_generation_is_no_partition() -> None:
    assert Meta.parsed(3, {b"c:2": b"9"}).live_partition is None
    fields = {b"gen": b"2", b"c:2": b"9", b"r:2": b"run.e", b"w:2": b"200", b"c:3": b"4", b"x:3": b"77", b"hold": b"5"}
    meta = Meta.parsed(3, fields | {b"h:2": b"ab", b"p:2": b"7", b"m:2": b"0"})
    assert meta.live_partition == Partition(3, 2, 9, "run.e", 200, frozenset({2, 3}), "ab", 7, 0)
    assert meta.generations[3] == Partition(3, 3, 4, traces=frozenset({2, 3}))
    assert meta.kept_until_ms == {3: 77}
