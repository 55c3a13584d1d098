"""Fairness among tenants in the compressor: orders in turn, shares of what is due, tokens on one's own account."""

import orjson
import pytest

from turnlog_compressor.budget import Budget, BudgetSettings
from turnlog_compressor.fair_line import URGENT_RUN
from turnlog_compressor.models import ModelError
from turnlog_compressor.orders import Left, Order, WatchSettings
from turnlog_compressor.policy import PolicySettings, Reason
from turnlog_compressor.watchlist import Watchlist
from turnlog_events import event as ev
from turnlog_events.event import Event

POLICY = PolicySettings(turns=10, tokens=1_000, idle_s=60, idle_turns=4, tail_turns=2, tail_tokens=200)


class Story:
    """A log of several tenants told to a watchlist."""

    def __init__(self, settings: WatchSettings | None = None) -> None:
        self.list = Watchlist(POLICY, settings or WatchSettings())
        self.position = 0

    def _event(self, tenant: str, session: str, kind: str, body: dict[str, object], version: int | None) -> None:
        self.position += 1
        fields = ("main", self.position, f"e{self.position}", tenant, session, version, kind, 1, f"k{self.position}")
        self.list.note(Event(*fields, 0, None, None, None, orjson.dumps(body), b"", "", b""), 0.0)

    def due(self, tenant: str, session: str) -> None:
        for version in range(1, 11):
            self._event(tenant, session, ev.TURN_STORED, {"role": "user", "content": "hello"}, version)

    def ask(self, tenant: str, session: str) -> None:
        body: dict[str, object] = {"task_id": f"task-{self.position}", "up_to_version": 1}
        self._event(tenant, session, ev.COMPRESSION_REQUESTED, body, None)

    def take(self) -> Order:
        order = self.list.take()
        assert order is not None
        return order

    def finish(self, order: Order) -> None:
        self.list.done(order, Left(order.version, 0, 0), 0.0)


def test_a_storm_of_one_tenant_delays_another_by_no_more_than_what_is_under_way() -> None:
    story = Story()
    for number in range(50):
        story.due("noisy", f"s{number}")
        story.ask("noisy", f"s{number}")
    under_way = story.take()
    story.ask("quiet", "s")
    assert (under_way.tenant, story.take().tenant) == ("noisy", "quiet")


def test_tenants_are_worked_on_in_turn() -> None:
    story = Story()
    for tenant in ("a", "b", "c"):
        for number in range(3):
            story.due(tenant, f"s{number}")
    order = []
    for _ in range(9):
        taken = story.take()
        order.append(taken.tenant)
        story.finish(taken)
    assert order == ["a", "b", "c"] * 3


def test_a_tenant_that_has_a_worker_comes_after_one_that_has_none() -> None:
    story = Story()
    for number in range(4):
        story.due("a", f"s{number}")
    first = story.take()
    story.due("b", "s")
    assert story.take().tenant == "b"
    assert story.take().tenant == "a"
    story.finish(first)


def test_requests_without_end_do_not_stop_the_compression_of_what_is_due() -> None:
    story = Story()
    story.due("quiet", "s")
    for number in range(20):
        story.ask("noisy", f"s{number}")
    taken = [story.take() for _ in range(URGENT_RUN + 1)]
    assert [order.reason for order in taken].count(Reason.TURNS) == 1


def test_one_tenant_cannot_stop_the_follower_and_what_was_set_aside_comes_in_the_end() -> None:
    story = Story(WatchSettings(due_max=8, tenant_due_max=2))
    for number in range(20):
        story.due("noisy", f"s{number}")
    assert not story.list.full
    story.due("quiet", "s")
    done = set()
    while order := story.list.take():
        done.add(order.key)
        assert story.list.safe_position(story.position) < story.position
        story.finish(order)
    assert len(done) == 21
    assert story.list.safe_position(story.position) == story.position


class Clock:
    """Monotonic seconds that move when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_tenant_that_has_used_up_its_tokens_is_refused_at_once_and_others_are_not() -> None:
    clock = Clock()
    budget = Budget(BudgetSettings(1, 10_000, wait_s=0.01, tenant_tokens_per_minute=600), clock)
    async with budget.spend(500, "noisy"):
        pass
    with pytest.raises(ModelError, match="budget"):
        async with budget.spend(500, "noisy"):
            pass
    async with budget.spend(500, "quiet") as spent:
        spent.used = 100
    async with budget.spend(500, "quiet"):
        pass
    clock.now += 60
    async with budget.spend(500, "noisy"):
        pass
