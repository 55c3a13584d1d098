"""The folder in which several processes write their metrics."""

import os
import subprocess
import sys
from pathlib import Path

from turnlog_cli.metrics_folder import KINDS, ROOM_BYTES, VARIABLE, empty_folder, left

COUNTS = """
import os
from turnlog_cli.metrics_folder import join
join("api", os.environ)
from prometheus_client import Counter, Gauge
Counter("made", "x", ["of"]).labels("x").inc()
Gauge("led", "x", multiprocess_mode="livemax").set(1)
"""


def count_once(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", COUNTS], env={**os.environ, VARIABLE: str(folder)}, check=True, timeout=60)


def test_files_have_their_room_on_the_disk_before_they_are_used_and_are_those_of_the_name(tmp_path: Path) -> None:
    folder = empty_folder(tmp_path)
    count_once(folder)
    count_once(folder)
    left("api", {VARIABLE: str(folder)})
    assert sorted(file.name for file in folder.iterdir()) == ["counter_api.db", "histogram_api.db"]
    count_once(folder)
    files = list(folder.iterdir())
    assert sorted(file.name for file in files) == sorted(f"{kind}_api.db" for kind in KINDS)
    for file in files:
        assert file.stat().st_size == ROOM_BYTES
        assert file.stat().st_blocks * 512 >= ROOM_BYTES, "it has holes"


def test_counting_goes_on_where_it_was(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, multiprocess

    folder = empty_folder(tmp_path)
    count_once(folder)
    count_once(folder)
    shared = CollectorRegistry()
    multiprocess.MultiProcessCollector(shared, str(folder))  # type: ignore[no-untyped-call]
    assert shared.get_sample_value("made_total", {"of": "x"}) == 2
    assert shared.get_sample_value("led") == 1
    left("api", {VARIABLE: str(folder)})
    assert shared.get_sample_value("made_total", {"of": "x"}) == 2
    assert shared.get_sample_value("led") is None
