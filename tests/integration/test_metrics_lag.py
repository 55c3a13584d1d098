"""Lags of followers and of the relay: true when nothing happens, when a consumer stands still, and when PostgreSQL does
not answer."""

import asyncio
import uuid
from typing import Any

import pytest
from prometheus_client import REGISTRY

from making import request, turn
from turnlog_eventstore import Store, StoreUnavailable
from turnlog_follow import Follower, FollowerLag, FollowSettings, Lags

QUICK = FollowSettings(batch_events=3, poll_s=0.02, tick_s=0.05)


class Consumer:
    """A consumer with a name of its own, that may be made not to lead."""

    def __init__(self, log: str) -> None:
        self.name, self.leads = f"consumer-{uuid.uuid4().hex[:8]}", True
        self._labels = {"log": log, "consumer": self.name}
        self.lag = FollowerLag(log, self.name, lambda: self.leads)

    def shows(self) -> tuple[float, float]:
        """Events and seconds."""
        return self._value("turnlog_follower_lag_events"), self._value("turnlog_follower_lag_seconds")

    def took(self, source: str) -> float:
        return self._value("turnlog_follower_events_total", source=source)

    def _value(self, name: str, **more: str) -> float:
        value = REGISTRY.get_sample_value(name, self._labels | more)
        assert value is not None, name
        return value


class Away:
    """A store that stops answering when told."""

    def __init__(self, store: Store) -> None:
        self._store, self.away = store, False

    async def standings(self, *asked: Any) -> Any:
        if self.away:
            raise StoreUnavailable("PostgreSQL is away")
        return await self._store.standings(*asked)


@pytest.fixture
def consumer(log_name: str) -> Consumer:
    return Consumer(log_name)


@pytest.fixture
def lags(store: Store, consumer: Consumer) -> Lags:
    made = Lags(store)
    made.add(consumer.lag)
    return made


async def append(store: Store, log: str, tenant: str, count: int) -> None:
    for number in range(count):
        await store.append(log, [request(turn(tenant, f"s{number}"))])


async def test_standings_tell_the_end_and_the_age_of_what_follows_for_each_in_turn(
    store: Store, log_name: str, tenant: str
) -> None:
    await append(store, log_name, tenant, 2)
    await asyncio.sleep(0.05)
    await append(store, log_name, tenant, 1)
    positions = [0, 3, 1, -1, 99, 0]
    found = await store.standings([log_name] * 5 + ["no-such-log"], positions)
    assert [head for head, _ in found] == [3, 3, 3, 3, 3, 0]
    oldest, none, second, *others = [age for _, age in found]
    assert oldest is not None
    assert second is not None
    assert oldest > second > 50_000
    assert [none, *others] == [None] * 4
    assert await store.standings([], []) == []


async def test_a_consumer_that_stands_still_falls_behind_and_one_that_is_done_shows_zero(
    store: Store, log_name: str, tenant: str, consumer: Consumer, lags: Lags
) -> None:
    assert consumer.shows() == (0, 0)
    consumer.lag.at(0)
    await append(store, log_name, tenant, 5)
    await asyncio.sleep(0.1)
    await lags.look()
    events, seconds = consumer.shows()
    assert events == 5
    assert 0.1 <= seconds < 30
    assert REGISTRY.get_sample_value("turnlog_log_position", {"log": log_name}) == 5
    await asyncio.sleep(0.1)
    await lags.look()
    assert consumer.shows()[1] >= seconds + 0.1
    consumer.lag.at(3)
    assert consumer.shows()[0] == 2
    consumer.lag.at(5)
    assert consumer.shows() == (0, 0)
    await lags.look()
    assert consumer.shows() == (0, 0)


async def test_what_waits_grows_older_while_postgres_does_not_answer_also_when_leadership_is_gone(
    store: Store, log_name: str, tenant: str, consumer: Consumer
) -> None:
    away: Any = Away(store)
    lags = Lags(away)
    lags.add(consumer.lag)
    consumer.lag.at(0)
    await append(store, log_name, tenant, 1)
    await lags.look()
    away.away, consumer.leads = True, False
    before = consumer.shows()
    await asyncio.sleep(0.2)
    await lags.look()
    assert consumer.shows()[0] == 1
    assert consumer.shows()[1] >= before[1] + 0.2
    away.away = False
    await lags.look()
    assert consumer.shows() == (0, 0)


async def test_a_leader_that_has_not_heard_counts_from_where_the_log_stood(
    store: Store, log_name: str, tenant: str, consumer: Consumer, lags: Lags
) -> None:
    await append(store, log_name, tenant, 4)
    await lags.look()
    assert consumer.shows() == (0, 0)
    await append(store, log_name, tenant, 2)
    await lags.look()
    assert consumer.shows()[0] == 2
    consumer.lag.at(0)
    await lags.look()
    assert consumer.shows()[0] == 6


async def test_one_that_begins_or_goes_back_is_not_said_to_be_as_old_as_what_waited_before(
    store: Store, log_name: str, tenant: str, consumer: Consumer, lags: Lags
) -> None:
    await append(store, log_name, tenant, 2)
    await lags.look()
    consumer.lag.at(0)  # it begins, after the first look
    events, seconds = consumer.shows()
    assert (events, seconds < 1) == (2, True)
    await lags.look()
    consumer.lag.at(2)
    await asyncio.sleep(1.1)
    consumer.lag.at(1)  # it begins again; what waited a second ago was handled
    events, seconds = consumer.shows()
    assert (events, seconds < 1) == (1, True)
    await lags.look()
    assert consumer.shows()[1] > 1.1


async def test_one_that_does_not_lead_shows_nothing(
    store: Store, log_name: str, tenant: str, consumer: Consumer, lags: Lags
) -> None:
    consumer.leads = False
    await append(store, log_name, tenant, 4)
    await lags.look()
    await append(store, log_name, tenant, 4)
    await lags.look()
    assert consumer.shows() == (0, 0)


async def test_a_batch_counts_as_handled_when_the_next_is_asked_for(
    store: Store, log_name: str, tenant: str, consumer: Consumer, lags: Lags
) -> None:
    await append(store, log_name, tenant, 7)
    batches = Follower(store, None, log_name, QUICK, consumer.lag).batches(0)
    await anext(batches)
    await lags.look()
    assert consumer.shows()[0] == 7
    assert consumer.took("postgres") == 0
    await anext(batches)
    assert consumer.shows()[0] == 4
    assert consumer.took("postgres") == 3
    while (await anext(batches)).events:
        pass
    assert consumer.shows() == (0, 0)
    assert (consumer.took("postgres"), consumer.took("nats")) == (7, 0)
    await batches.aclose()


async def test_leadership_is_told_by_log_and_role(store: Store, log_name: str) -> None:
    labels = {"log": log_name, "role": "projector"}

    def told() -> float | None:
        return REGISTRY.get_sample_value("turnlog_leader", labels)

    assert told() is None
    name = f"projector/{log_name}"
    async with store.leadership(name) as leadership:
        assert told() == 1
        assert store.leads(name)
        leadership.lost.set()
        assert not store.leads(name)
    assert told() == 0
    async with store.leadership(f"rebuild/{log_name}"):
        assert REGISTRY.get_sample_value("turnlog_leader", {"log": log_name, "role": "rebuild"}) is None
