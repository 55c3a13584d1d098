"""Leases: whatever processes do and in whatever order, the limit holds but for what the page on limits states."""

import asyncio
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnlog_limits.counter import CounterAway, Taken, subject_of
from turnlog_limits.leases import Account, Leases, Refused
from turnlog_limits.limit import Limit, limits_of
from turnlog_limits.window import Counts, LocalWindow
from turnlog_runtime.settings import IngestSettings, SettingsError, load

WINDOW_S = 60


def limit(amount: int, lot_max: int, local: int = 0) -> Limit:
    return Limit("requests-key", "requests", "key", amount, WINDOW_S, local or amount, lot_max)


class Clock:
    """Seconds that move when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Exact:
    """A shared counter that remembers every grant: in no window does it grant more than the amount."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.grants: deque[tuple[float, int]] = deque()
        self.away = False

    def used(self) -> int:
        return sum(n for at, n in self.grants if at > self.clock.now - WINDOW_S)

    async def take(self, limit: Limit, subject: str, wanted: int, least: int) -> Taken:
        if self.away:
            raise CounterAway("gone")
        room = limit.amount - self.used()
        granted = min(wanted, room) if room >= least else 0
        if granted:
            self.grants.append((self.clock.now, granted))
        return Taken(granted, Counts(0, 0.0, self.used(), 0.0))

    async def answers(self) -> bool:
        return not self.away

    async def close(self) -> None:
        pass


class Sliding(Exact):
    """A shared counter as the one in Redis counts."""

    def __init__(self, clock: Clock, amount: int) -> None:
        super().__init__(clock)
        self.window = LocalWindow(amount, WINDOW_S)

    async def take(self, limit: Limit, subject: str, wanted: int, least: int) -> Taken:
        if self.away:
            raise CounterAway("gone")
        granted = self.window.take(wanted, least, self.clock.now)
        return Taken(granted, self.window.counts(self.clock.now))


class Process:
    """One process's leases on a counter, and what it let in."""

    def __init__(self, counter: Exact, limit: Limit) -> None:
        self.leases = Leases(counter, counter.clock)
        self.account = Account(limit, "t/k")
        self.clock = counter.clock

    async def charge(self, cost: int) -> bool:
        try:
            await self.leases.charge([self.account], cost)
        except Refused:
            return False
        return True


Step = tuple[float, int, int, bool]
"""(seconds passed, process, cost, whether its background task gets to run). No cost is above a limit."""
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 0.3, 2.0, 11.0, 40.0]), st.integers(0, 3), st.integers(1, 12), st.booleans()),
    min_size=1,
    max_size=150,
)


async def told(counter: Exact, limit: Limit, steps: Sequence[Step], processes: int) -> list[tuple[float, int]]:
    """What all processes let in, and when."""
    all_of = [Process(counter, limit) for _ in range(processes)]
    let_in = []
    for seconds, number, cost, renews in steps:
        counter.clock.now += seconds
        process = all_of[number % processes]
        if await process.charge(cost):
            let_in.append((counter.clock.now, cost))
        if renews:
            await process.leases.renew()
    return let_in


def most_in_a_window(let_in: list[tuple[float, int]]) -> int:
    return max((sum(n for at, n in let_in if end - WINDOW_S < at <= end) for end, _ in let_in), default=0)


@given(STEPS, st.integers(1, 4), st.integers(12, 40), st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_processes_overstep_a_limit_by_two_lots_each_at_most(
    steps: list[Step], processes: int, amount: int, lot_max: int
) -> None:
    counter = Exact(Clock())
    let_in = asyncio.run(told(counter, limit(amount, lot_max), steps, processes))
    assert most_in_a_window(let_in) <= amount + processes * 2 * lot_max


@given(STEPS, st.integers(1, 4), st.integers(12, 40), st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_on_sliding_counters_a_burst_at_the_edge_of_two_windows_adds_one_limit(
    steps: list[Step], processes: int, amount: int, lot_max: int
) -> None:
    counter = Sliding(Clock(), amount)
    let_in = asyncio.run(told(counter, limit(amount, lot_max), steps, processes))
    assert most_in_a_window(let_in) <= 2 * amount + 1 + processes * 2 * lot_max


@pytest.mark.parametrize("processes", [1, 3])
async def test_under_steady_demand_no_more_than_two_lots_a_process_go_unused(processes: int) -> None:
    clock = Clock()
    amount, lot_max = 1_000, 20
    counter = Sliding(clock, amount)
    all_of = [Process(counter, limit(amount, lot_max)) for _ in range(processes)]
    let_in = []
    for step in range(3 * WINDOW_S * 40):
        clock.now += 0.025
        process = all_of[step % processes]
        let_in.append((clock.now, await process.charge(1)))
        await process.leases.renew()
    for begin in (0.0, WINDOW_S, 2 * WINDOW_S):
        window = sum(n for at, n in let_in if begin < at - 1_000.0 <= begin + WINDOW_S)
        assert amount - processes * 2 * lot_max <= window <= amount + processes * 2 * lot_max


async def test_a_caller_that_comes_seldom_wastes_next_to_nothing() -> None:
    clock = Clock()
    counter = Exact(clock)
    process = Process(counter, limit(1_000, 50))
    for _ in range(100):
        clock.now += 15.0
        assert await process.charge(1)
        await process.leases.renew()
    assert sum(n for _, n in counter.grants) <= 300


async def test_a_busy_caller_asks_seldom() -> None:
    clock = Clock()
    counter = Exact(clock)
    process = Process(counter, limit(60_000, 1_200))
    for _ in range(5_000):
        clock.now += 0.001
        assert await process.charge(1)
        await process.leases.renew()
    assert len(counter.grants) < 25


async def test_with_a_lease_nobody_waits() -> None:
    process = Process(Exact(Clock()), limit(1_000, 50))
    for _ in range(40):
        coroutine = process.leases.charge([process.account], 1)
        with pytest.raises(StopIteration):
            coroutine.send(None)


async def test_what_one_limit_refuses_is_given_back_to_the_others() -> None:
    counter = Exact(Clock())
    leases = Leases(counter, counter.clock)
    wide, narrow = Account(limit(1_000, 10), "t"), Account(limit(2, 1), "t/k")
    for _ in range(3):
        await leases.charge([wide, narrow], 1)
    for _ in range(60):
        with pytest.raises(Refused, match="2 requests"):
            await leases.charge([wide, narrow], 1)
    assert wide.lease.left >= wide.lease.lot_max - 10 - 4


async def test_a_refusal_says_when_to_come_again_and_nobody_is_asked_until_then() -> None:
    clock = Clock()
    counter = Sliding(clock, 10)
    process = Process(counter, limit(10, 1))
    assert [await process.charge(1) for _ in range(13)].count(True) in (10, 11)
    with pytest.raises(Refused) as refused:
        await process.leases.charge([process.account], 1)
    assert 0 < refused.value.wait_s <= 2 * WINDOW_S
    counter.away = True  # if it were asked, the process would count alone, and grant
    assert not await process.charge(1)
    counter.away = False
    clock.now += refused.value.wait_s + 0.001
    assert await process.charge(1)


async def test_while_the_counter_is_away_each_process_grants_its_part() -> None:
    clock = Clock()
    counter = Exact(clock)
    counter.away = True
    process = Process(counter, limit(100, 2, local=50))
    let_in = [await process.charge(1) for _ in range(200)]
    assert 50 <= let_in.count(True) <= 50 + 2 * 2
    assert not let_in[-1]


async def test_a_request_above_what_a_process_may_grant_alone_passes_when_its_window_is_empty() -> None:
    counter = Exact(Clock())
    counter.away = True
    process = Process(counter, limit(1_000, 20, local=100))
    assert await process.charge(900)
    assert not await process.charge(900)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 7.0, 31.0, 61.0, 130.0]), st.integers(1, 30)), max_size=60),
    st.integers(1, 40),
)
@settings(deadline=None)
def test_a_window_says_exactly_when_there_is_room_again(steps: list[tuple[float, int]], amount: int) -> None:
    now, window = 100.0, LocalWindow(amount, WINDOW_S)
    for seconds, wanted in steps:
        now += seconds
        wanted = min(wanted, amount)
        wait_s = window.counts(now).room_in_s(wanted, amount, WINDOW_S)
        if wait_s == 0:
            assert window.take(wanted, wanted, now) == wanted
        else:
            assert window.take(wanted, wanted, now) == 0
            assert window.counts(now + wait_s - 0.001).used(WINDOW_S) + wanted > amount
            now += wait_s + 0.001
            assert window.take(wanted, wanted, now) == wanted


ODD = st.text(alphabet="ab/{}%.:@#", min_size=0, max_size=6)


@given(st.tuples(ODD, ODD), st.tuples(ODD, ODD))
def test_no_two_callers_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (subject_of(*one) == subject_of(*other)) == (one == other)
    assert "{" not in subject_of(*one)


def test_without_credentials_only_limits_that_were_set_apply() -> None:
    assert limits_of(IngestSettings()) == ()
    (only,) = limits_of(IngestSettings(limit_tenant_turns_per_minute=5_000))
    assert (only.name, only.amount, only.lot_max) == ("turns-tenant", 5_000, 100)
    names = [found.name for found in limits_of(IngestSettings(auth="required"))]
    assert names == ["requests-key", "requests-tenant", "turns-key", "turns-tenant", "compressions-tenant"]


def test_a_turn_limit_below_what_one_request_may_store_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_LIMIT_KEY_TURNS_PER_MINUTE", "999")
    with pytest.raises(SettingsError, match="at least the 1000 turns"):
        load(IngestSettings)
