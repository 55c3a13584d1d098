"""Figures of the bench: ratios of pairs, targets, percentiles, and what is written of them."""

import json

import pytest

from turnlog_bench.figures import Figure, Target, as_json, as_table, compared, percentile, plain


def test_ratio_is_the_median_of_the_pairs_ratios() -> None:
    figure = compared("rate", "x/s", "other", [(10, 10), (30, 20), (9, 3)], None)
    assert (figure.value, figure.yardstick_value, figure.ratio) == (10, 10, 1.5)


def test_ratio_does_not_move_when_the_machine_is_slow_for_one_pair() -> None:
    steady = [(80.0, 100.0)] * 4
    assert compared("rate", "x/s", "other", [*steady, (8.0, 10.0)], None).ratio == pytest.approx(0.8)


@pytest.mark.parametrize(
    "target, found, met",
    [
        (Target("at least", 0.6), 0.6, True),
        (Target("at least", 0.6), 0.59, False),
        (Target("at most", 3.0), 3.0, True),
        (Target("at most", 3.0), 3.01, False),
    ],
)
def test_target_holds_the_ratio_to_its_bound(target: Target, found: float, met: bool) -> None:
    assert compared("a figure", "ms", "other", [(found, 1.0)], target).met is met


def test_target_without_a_yardstick_is_of_the_value() -> None:
    figure = plain("freshness", 12.0, "ms", Target("at most", 10.0))
    assert (figure.target, figure.met, figure.ratio) == ("<= 10 ms", False, None)


def test_figure_without_a_target_claims_nothing() -> None:
    assert plain("CPU", 12.0, "µs").met is None
    assert compared("rate", "x/s", "other", [(1.0, 2.0)], None).met is None


@pytest.mark.parametrize("share, expected", [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_json_has_the_eight_members_and_rounds() -> None:
    rows = json.loads(as_json([compared("rate", "x/s", "other", [(1234.5678, 1000.0)], Target("at least", 1.0))]))
    assert rows == [
        {
            "name": "rate",
            "value": 1235.0,
            "unit": "x/s",
            "yardstick": "other",
            "yardstick_value": 1000.0,
            "ratio": 1.235,
            "target": ">= 1",
            "met": True,
        }
    ]


def test_table_says_which_targets_were_missed() -> None:
    rows = as_table(
        [
            compared("fast", "x/s", "other", [(2000.0, 1000.0)], Target("at least", 1.0)),
            compared("slow", "x/s", "other", [(500.0, 1000.0)], Target("at least", 1.0)),
            Figure("informs", 3.0, "ms"),
        ]
    ).splitlines()
    assert [row.rstrip("| ").rsplit(" ", 1)[-1] for row in rows[2:4]] == ["yes", "no"]
    assert "1,000 (other)" in rows[2]
    assert len({len(row) for row in rows[:5]}) == 1


def test_table_gathers_the_cpu_of_each_process_in_one_line() -> None:
    table = as_table(
        [plain("load: CPU of ingest", 180.0, "µs/request"), plain("load: CPU of nats", 13.0, "µs/request")]
    )
    assert "load: CPU per request: ingest 180, nats 13 µs" in table
