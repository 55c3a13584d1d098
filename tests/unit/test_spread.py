"""Spreading leaderships: fair shares, nothing without a leader, and nothing given up that nobody would take."""

from itertools import pairwise

import pytest

from turnlog_eventstore.spread import Moves, Standing, kind_of, moves

LEASE_S = 6.0
A, B, C = 1, 2, 3
ALL = frozenset({A, B})


def standings(holders: str, contenders: frozenset[int] = ALL, free_s: float = 0.0) -> list[Standing]:
    """`"A.B"`: A holds the first name, nobody the second, B the third."""
    ids = {"A": A, "B": B, "C": C, "x": 99}
    return [Standing(f"k/{n}", ids.get(h), contenders, free_s if h == "." else 0.0) for n, h in enumerate(holders)]


def test_the_kind_is_what_stands_before_the_slash() -> None:
    assert kind_of("relay/main") == "relay"


def test_alone_a_replica_takes_everything() -> None:
    assert len(moves(A, standings("....", frozenset({A})), (), LEASE_S).take) == 4


def test_a_replica_takes_its_share_and_no_more() -> None:
    assert moves(A, standings("...."), (), LEASE_S).take == ("k/0", "k/1")
    assert moves(A, standings("A..."), (), LEASE_S).take == ("k/1",)
    assert moves(A, standings("AA.."), (), LEASE_S).take == ()
    assert moves(A, standings("..."), (), LEASE_S).take == ("k/0", "k/1")


def test_what_stayed_free_for_a_lease_is_taken_beyond_the_share_one_at_a_time() -> None:
    assert moves(A, standings("AA..", free_s=LEASE_S), (), LEASE_S).take == ("k/2",)


def test_too_much_is_given_up_to_one_who_lacks_some() -> None:
    assert moves(A, standings("AAAA"), (), LEASE_S).give_up == ("k/0",)
    assert moves(A, standings("AAAB"), (), LEASE_S).give_up == ("k/0",)
    assert moves(A, standings("A" * 8), (), LEASE_S).give_up == ("k/0", "k/1")


def test_nothing_more_is_given_up_while_something_is_on_its_way() -> None:
    assert moves(A, standings("AAAA"), ("k/0",), LEASE_S) == Moves()


@pytest.mark.parametrize("holders", ["AB", "AAB", "A", "AABB", "AABBA"])
def test_a_fair_spread_stays_as_it_is(holders: str) -> None:
    for me in (A, B):
        assert moves(me, standings(holders), (), LEASE_S) == Moves()


def test_a_holder_of_a_release_that_shows_no_candidacy_is_left_alone() -> None:
    assert moves(A, standings("x.", frozenset({A})), (), LEASE_S).take == ("k/1",)


def test_what_only_one_replica_may_lead_is_never_given_up() -> None:
    """B may lead only the first two; A holds the others, and one of the first beyond its share."""
    both, own = frozenset({A, B}), frozenset({A})
    held = [Standing("k/0", A, both), Standing("k/1", B, both), Standing("k/2", A, own), Standing("k/3", A, own)]
    assert moves(A, held, (), LEASE_S).give_up == ()


def test_a_rebuild_is_taken_by_whoever_is_first_and_never_asked_back() -> None:
    free = [Standing("rebuild/main", None, ALL), Standing("rebuild/second", None, ALL)]
    assert moves(A, free, (), LEASE_S).take == ("rebuild/main", "rebuild/second")
    under_way = [Standing("rebuild/main", A, ALL), Standing("rebuild/second", A, frozenset({A}))]
    assert moves(A, under_way, (), LEASE_S) == Moves()
    assert moves(B, under_way[:1], (), LEASE_S) == Moves()


def test_replicas_that_come_and_go_settle_at_a_fair_spread_without_a_flap() -> None:
    held: dict[str, int | None] = {f"k/{n}": None for n in range(7)}

    def settle(live: frozenset[int]) -> list[dict[int, int]]:
        seen = []
        for _ in range(20):
            for me in live:
                now = [Standing(name, holder, live) for name, holder in held.items()]
                due = moves(me, now, (), LEASE_S)
                held.update(dict.fromkeys(due.give_up, None))
                for name in due.take:
                    held[name] = me if held[name] is None else held[name]
            seen.append({me: sum(h == me for h in held.values()) for me in live})
        return seen

    assert settle(frozenset({A}))[-1] == {A: 7}
    history = settle(frozenset({A, B, C}))
    assert sorted(history[-1].values()) in ([1, 3, 3], [2, 2, 3])
    assert all(before == after for before, after in pairwise(history[10:]))
    held.update({name: None for name, holder in held.items() if holder == B})
    assert sorted(settle(frozenset({A, C}))[-1].values()) == [3, 4]
