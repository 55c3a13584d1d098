"""A short run of faults against a whole system under load, in every run of the tests: nothing may be lost, stored
twice, out of order, stale, uncommitted, foreign or late, and each component must fare as promised."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from faults.ground import Pace
from faults.run import Options, run

SEED = int(os.environ.get("FAULTS_SEED", "7"))
QUICK = (
    "postgres-killed",
    "postgres-half-open",
    "nats-wiped",
    "nats-paused",
    "valkey-killed",
    "valkey-flushed",
    "model-garbage",
    "answers-lost",
    "ingest-killed",
    "projector-killed",
    "compressor-killed",
)


@pytest.mark.faults
@pytest.mark.timeout(150)
async def test_a_system_under_load_and_faults_keeps_every_promise(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tlf-"))  # short: unix sockets are in it
    pace = Pace(singles=2, shared=2, readers=1, streams=1, slowness=1.5)
    options = Options(60, SEED, tmp_path, QUICK, pause_s=2.0, pace=pace, hold_scale=0.5, once=True, recover_s=20.0)
    try:
        report = await run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.markdown())
    told = "\n".join([*report.offences(), f"repeat: FAULTS_SEED={SEED} make test ARGS='tests/faults/test_quick.py'"])
    assert report.totals.acknowledged > 500
    assert report.totals.faults >= len(QUICK) - 2
    assert report.green, told
