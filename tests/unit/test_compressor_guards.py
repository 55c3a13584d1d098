"""Breaker and budget: given failures and costs, when time passes, then calls are let through or not."""

import pytest

from turnlog_compressor.breaker import Breaker, BreakerSettings, State
from turnlog_compressor.budget import Budget, BudgetSettings, TokenBucket
from turnlog_compressor.models import ModelError
from turnlog_compressor.models.wire import kind_of_status, retry_after_s


class Clock:
    """Monotonic seconds that move when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(BreakerSettings(failures=3, open_s=30), clock)
    for _ in range(3):
        assert breaker.admit()
        breaker.failed()
    return breaker


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(BreakerSettings(failures=3, open_s=30), Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert opened(Clock()).state is State.OPEN


def test_an_open_breaker_admits_one_probe_after_its_pause() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 29.9
    assert not breaker.admit()
    clock.now += 0.1
    assert int(breaker.state) == State.HALF_OPEN
    assert breaker.admit()
    assert not breaker.admit()
    breaker.succeeded()
    assert int(breaker.state) == State.CLOSED


def test_a_failed_probe_opens_again_and_a_released_one_may_be_repeated() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 30
    assert breaker.admit()
    breaker.released()
    assert breaker.admit()
    breaker.failed()
    assert breaker.state is State.OPEN
    assert not breaker.admit()


def test_tokens_come_back_with_time_and_never_above_a_minutes_worth() -> None:
    clock = Clock()
    bucket = TokenBucket(600, clock)
    assert bucket.take(600, 0) == 0
    assert bucket.take(10, 0.5) is None
    assert bucket.take(10, 1) == pytest.approx(1)
    clock.now += 3_600
    assert bucket.take(600, 0) == 0
    assert bucket.take(1, 0) is None


def test_a_demand_above_a_minutes_worth_is_met_from_a_full_bucket() -> None:
    bucket = TokenBucket(600, Clock())
    assert bucket.take(10_000, 0) == 0


def test_what_was_not_used_is_given_back() -> None:
    bucket = TokenBucket(600, Clock())
    bucket.take(600, 0)
    bucket.settle(600, 100)
    assert bucket.take(500, 0) == 0
    assert bucket.take(1, 0) is None


async def test_a_call_over_budget_is_refused_and_costs_nothing() -> None:
    clock = Clock()
    budget = Budget(BudgetSettings(concurrent_calls=1, tokens_per_minute=600, wait_s=0.01), clock)
    async with budget.spend(500):
        with pytest.raises(ModelError, match="budget"):
            async with budget.spend(1):
                pass
    with pytest.raises(ModelError, match="budget"):
        async with budget.spend(500):
            pass
    async with budget.spend(100):
        pass


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "unauthorized"),
        (403, "unauthorized"),
        (404, "not_found"),
        (429, "rate_limited"),
        (529, "server_error"),
        (500, "server_error"),
        (400, "bad_request"),
        (413, "bad_request"),
        (408, "timeout"),
        (302, "garbage"),
    ],
)
def test_statuses_have_kinds(status: int, kind: str) -> None:
    assert kind_of_status(status) == kind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("1e9", 86_400.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}, now_s=1_000.0) == seconds
