"""The sizing: costs from curves, and what so many turns a day take."""

from dataclasses import replace

import pytest

from measuring import sample
from turnlog_bench.scaling.points import Point, Scaling
from turnlog_bench.scaling.series import SUMMARIES
from turnlog_bench.sizing import ASSUMED, Assumptions, Costs, costs_of, described, plan, slopes


@pytest.fixture
def costs() -> Costs:
    return costs_of(sample())


def test_costs_come_from_the_curves(costs: Costs) -> None:
    assert (costs.ingest_us, costs.projector_us, costs.query_us) == (150, 100, 100)
    assert costs.one_log_turns_per_s == 5_000
    assert costs.postgres_turn_bytes == pytest.approx(1_000)
    assert costs.redis_session_bytes == pytest.approx(100)
    assert costs.summary_row_bytes == pytest.approx(4_000 + 1_000 - 300)


def test_the_compressor_costs_what_it_costs_when_sessions_are_due() -> None:
    curves = dict(sample().curves)
    stored = curves["bytes-sessions"]
    told = Point(SUMMARIES, 10, dict(stored.last(SUMMARIES).measured) | {"compressor_us": [500.0]})
    curves["bytes-sessions"] = replace(stored, points=[*stored.points[:-1], told])
    assert costs_of(Scaling(curves)).compressor_us == 500


def test_a_missing_curve_is_named() -> None:
    curves = dict(sample().curves)
    del curves["read-processes"]
    with pytest.raises(LookupError, match="read-processes"):
        costs_of(Scaling(curves))


def test_at_rest_and_slopes_are_those_that_the_bytes_were_made_of() -> None:
    assert slopes(sample().curves["bytes-sessions"], "valkey_bytes") == pytest.approx((1e6, 100, 1_000))


def test_a_small_load_takes_the_least_of_everything(costs: Costs) -> None:
    found = plan(1_000, costs)
    assert (found.logs, found.ingest_processes, found.query_processes) == (1, 2, 2)
    assert (found.deployments, found.bound_by) == (1, "")


def test_peak_and_processes_follow_from_the_day(costs: Costs) -> None:
    found = plan(86_400_000, costs)  # 1,000 a second, 4,000 at the peak
    assert (found.average_per_s, found.peak_per_s) == (1_000, 4_000)
    assert found.ingest_processes == 2  # 4,000 × 150 µs = 0.6 cores, half busy
    assert found.logs == 2  # 4,000 of 5,000 × half
    assert found.postgres_cores == pytest.approx(0.2)
    assert found.jetstream_bytes == pytest.approx(3 * (86_400_000 * 1_000 + 86_400_000 * 0.04 * 4_000))


def test_tokens_and_dollars_are_those_of_level_one_summaries(costs: Costs) -> None:
    found = plan(3_000_000, costs)
    assert found.tokens_in_per_day == pytest.approx(100_000 * 3_000)
    assert found.tokens_out_per_day == pytest.approx(100_000 * 400)
    assert found.dollars_per_day == pytest.approx(300 * 0.15 + 40 * 0.60)


def test_ten_times_the_turns_take_ten_times_the_bytes_and_cores(costs: Costs) -> None:
    one, ten = plan(1e7, costs), plan(1e8, costs)
    for name in ("postgres_bytes_per_day", "redis_bytes", "jetstream_bytes", "archive_bytes", "postgres_cores"):
        assert getattr(ten, name) == pytest.approx(10 * getattr(one, name)), name


@pytest.mark.parametrize(
    "change, bound_by",
    [
        ({"postgres_tb": 0.001}, "disk"),
        ({"postgres_cores": 0.001}, "PostgreSQL's cores"),
        ({"postgres_wal_mb_per_s": 0.001}, "write-ahead log"),
        ({"redis_gb": 0.000_01}, "Redis server's memory"),
    ],
)
def test_the_tightest_bound_sets_the_deployments_and_is_named(
    costs: Costs, change: dict[str, float], bound_by: str
) -> None:
    found = plan(1e6, costs, replace(ASSUMED, **change))
    assert found.deployments > 1
    assert bound_by in found.bound_by


@pytest.mark.parametrize("turns", [1e6, 1e8, 1e9])
def test_a_lower_busy_share_never_takes_fewer(costs: Costs, turns: float) -> None:
    full, half = plan(turns, costs, replace(ASSUMED, busy_share=1.0)), plan(turns, costs)
    for name in ("logs", "ingest_processes", "query_processes", "projector_processes", "deployments"):
        assert getattr(half, name) >= getattr(full, name), name


def test_every_assumption_says_what_it_means() -> None:
    found = described(Assumptions())
    assert len(found) == len(Assumptions.__dataclass_fields__)
    assert all(len(says) > 7 and value > 0 for _, value, says in found)
