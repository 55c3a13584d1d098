"""A curve measured for real, in seconds: several ingest processes, several logs, tenants spread over them."""

import subprocess
import sys
from pathlib import Path

import pytest

from measuring import sample
from turnlog_bench.scaling.points import parsed
from turnlog_bench.scaling.series import ONE_LOG, OWN_LOGS
from turnlog_bench.scaling.sizes import TINY

LONGEST_S = 110


@pytest.mark.timeout(LONGEST_S + 10)
def test_a_curve_is_measured_and_merged_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scaling.json"
    path.write_text(sample().as_json())
    done = subprocess.run(
        [sys.executable, "-m", "turnlog_bench", "--tiny", "--only", "scaling:append-processes", "--into", str(path)],
        capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = parsed(path.read_text()).curves
    assert found["tenants"] == sample().curves["tenants"]
    curve = found["append-processes"]
    assert (curve.run.sizes, curve.run.machine["cores"]) == ("tiny", pytest.approx(curve.run.machine["cores"]))
    for series in (ONE_LOG, OWN_LOGS):
        assert [point.x for point in curve.of(series)] == list(TINY.ingest)
    for point in curve.points:
        assert point.median("turns_per_s") > 0
        assert point.median("commits_per_s") > 0
        assert point.median("wal_bytes") > 200, "a turn's text alone is longer"
        assert 0 < point.median("p50_ms") <= point.median("p99_ms")


def test_a_file_that_is_none_of_ours_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "turnlog_bench", "--tiny", "--only", "scaling:tenants", "--into", str(path)],
        capture_output=True, text=True, timeout=LONGEST_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert path.read_text() == "mine"
