"""Curves of the bench: what a slice becomes, what the file keeps, and what least squares make of it."""

import random
from pathlib import Path

import pytest

from measuring import RUN, sample
from turnlog_bench import material
from turnlog_bench.process import MeasureFailed
from turnlog_bench.scaling.fit import least_squares
from turnlog_bench.scaling.logs import names
from turnlog_bench.scaling.measure import CURVES, group_names, kept, wanted
from turnlog_bench.scaling.points import Curve, Point, Scaling, gathered, parsed
from turnlog_bench.scaling.slices import summed
from turnlog_bench.stack import kind_of, replicas


def test_spread_is_the_median_between_the_lowest_and_the_highest_slice() -> None:
    spread = Point("s", 1, {"turns_per_s": [9.0, 1.0, 4.0]}).spread("turns_per_s")
    assert (spread.median, spread.low, spread.high) == (4.0, 1.0, 9.0)


def test_slices_become_a_list_for_each_name_and_what_one_lacks_counts_as_nothing() -> None:
    assert gathered([{"a": 1.0}, {"a": 2.0, "b": 3.0}]) == {"a": [1.0, 2.0], "b": [0.0, 3.0]}


def test_the_file_gives_back_what_was_written() -> None:
    text = sample().as_json()
    assert parsed(text).as_json() == text
    assert parsed(text).curves.keys() == CURVES.keys()


def test_a_new_run_replaces_its_curves_and_leaves_the_others() -> None:
    newer = Curve(RUN, [Point("s", 1, {"a": [1.0]})])
    merged = sample().merged({"tenants": newer})
    assert merged.curves["tenants"] == newer
    assert merged.curves["append-logs"] == sample().curves["append-logs"]


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2"):
        parsed('{"format": 2, "curves": {}}')


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1}', '{"format": 1, "curves": {"a": {}}}'])
def test_a_file_that_is_none_of_ours_is_named_and_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scaling.json"
    path.write_text(text)
    with pytest.raises(MeasureFailed, match=r"scaling\.json cannot be read"):
        kept(path)


def test_no_file_is_no_curve(tmp_path: Path) -> None:
    assert kept(tmp_path / "none.json") == Scaling()


def test_points_of_a_series_come_by_x() -> None:
    curve = Curve(RUN, [Point("a", 4, {}), Point("b", 1, {}), Point("a", 2, {})])
    assert [point.x for point in curve.of("a")] == [2, 4]
    assert curve.last("a").x == 4
    with pytest.raises(LookupError):
        curve.at("a", 3)
    with pytest.raises(LookupError):
        curve.last("c")


def test_least_squares_find_what_two_slopes_were_made_of() -> None:
    rows = [(100, 2_000), (1_000, 20_000), (50_000, 1_000_000), (50_000, 1_180_000)]
    found = least_squares(rows, [7e6 + 90 * a + 1_100 * b for a, b in rows])
    assert found == pytest.approx([7e6, 90, 1_100], rel=1e-6)


def test_least_squares_of_noisy_points_come_near() -> None:
    chance = random.Random(5)
    rows = [(float(n), float(n * n)) for n in range(1, 60)]
    found = least_squares(rows, [5 + 3 * a + 2 * b + chance.uniform(-0.5, 0.5) for a, b in rows])
    assert found == pytest.approx([5, 3, 2], abs=0.5)


@pytest.mark.parametrize(
    "rows, reason",
    [([(1.0, 2.0), (2.0, 4.0)], "too few"), ([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], "do not tell"), ([], "too few")],
)
def test_points_that_cannot_tell_slopes_are_refused(rows: list[tuple[float, float]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        least_squares(rows, [1.0] * len(rows))


def test_a_metric_is_summed_over_its_labels() -> None:
    page = '# TYPE a_seconds histogram\na_seconds_count{log="x"} 3\na_seconds_count{log="y"} 4.0\na_seconds_counted 9\n'
    assert summed(page, "a_seconds_count") == 7


def test_a_metric_without_samples_is_nothing_and_an_unknown_one_an_error() -> None:
    assert summed("# TYPE a_seconds histogram\n", "a_seconds_count") == 0
    with pytest.raises(LookupError, match="b_total"):
        summed("# TYPE a_seconds histogram\n", "b_total")


def test_replicas_are_of_one_kind() -> None:
    assert replicas("ingest", 3) == ["ingest", "ingest-2", "ingest-3"]
    assert {kind_of(name) for name in replicas("query", 4)} == {"query"}
    assert replicas("ingest", 1) == ["ingest"]


def test_the_first_log_is_the_default_one() -> None:
    assert names(1) == ["main"]
    assert len(set(names(8))) == 8


def test_only_names_all_curves_or_one() -> None:
    assert wanted("scaling") == list(CURVES)
    assert wanted("scaling:tenants") == ["tenants"]
    assert set(group_names()) == {"scaling", *(f"scaling:{name}" for name in CURVES)}


def test_requests_name_their_tenants_by_chance_and_always_the_same() -> None:
    requests = material.single_posts("p", "s", 5, 200)
    named = material.naming_tenants("of", 4, "p", requests)
    tenants = [request.split(b"x-tenant: ")[1].split(b"\r\n")[0] for request in named]
    assert set(tenants) == {b"of-0", b"of-1", b"of-2", b"of-3"}
    assert named == material.naming_tenants("of", 4, "p", requests)
    assert material.naming_tenants("of", 0, "p", requests) is requests
