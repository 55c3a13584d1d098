"""A sample of the crash points of every operation; `python -m faults.steps --all` walks all of them."""

from collections.abc import AsyncIterator

import pytest

from conftest import RealServers
from faults.steps.scenario import SCENARIOS
from faults.steps.walking import Walker, walker

SAMPLE = {"rebuild, live": 197, "rebuild, roll back": 97}
"""Of one that is long, so many crash points are left out for each that is tried."""
SAMPLE_ELSE = 61

pytestmark = [pytest.mark.faults]


@pytest.fixture(scope="module")
async def walks(servers: RealServers) -> AsyncIterator[Walker]:
    async with walker(servers) as made:
        yield made


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_crash_at_any_await_loses_nothing_and_does_nothing_twice(walks: Walker, scenario: str) -> None:
    every = SAMPLE.get(scenario, SAMPLE_ELSE)
    report = await walks.walk(scenario, every, offset=len(scenario) % every)
    assert [str(violation) for violation in report.violations] == []
    assert report.awaits > 20
    assert report.awaits // every <= report.crashes < report.restarts


async def test_a_sound_write_is_found_sound_at_every_await(walks: Walker) -> None:
    report = await walks.walk("faults.steps.broken:Sound")
    assert [str(violation) for violation in report.violations] == []
    assert report.crashes >= 2 * report.awaits > 0
    assert report.missed == ()


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("Torn", "after the crash: of request pair 1 of 2 events are stored"),
        ("Hasty", "after the crash: pair was answered pair#1 at 1, where None stands"),
        ("Forgetful", "is stored and nobody sent it"),
    ],
)
async def test_an_operation_that_is_not_safe_to_crash_is_found_out(walks: Walker, broken: str, found: str) -> None:
    report = await walks.walk(f"faults.steps.broken:{broken}", every=3)
    assert not report.ok
    assert any(found in violation.what for violation in report.violations)
