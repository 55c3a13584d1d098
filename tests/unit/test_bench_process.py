"""Processes of the bench: a death is noticed with its reason, and stopping leaves nothing behind."""

import os
from pathlib import Path

import pytest

from turnlog_bench import procfs
from turnlog_bench.process import MeasureFailed, Process, free_port


async def test_a_process_that_ends_unasked_fails_the_run_with_its_last_words(tmp_path: Path) -> None:
    process = await Process.start("timeit", ["timeit", "-n1", "raise SystemExit(3)"], os.environ, tmp_path / "log")
    with pytest.raises(MeasureFailed, match="timeit ended with status"):
        await process.ready(free_port())


async def test_stopping_ends_the_process_and_is_no_failure(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["turnlog_bench.ceiling", str(port)]
    process = await Process.start("ceiling", arguments, os.environ, tmp_path / "log")
    await process.ready(port)
    assert procfs.cpu_s(process.pid) > 0
    assert procfs.memory_kib(process.pid) > 1_000
    await process.stop()
    process.check()
    assert not Path(f"/proc/{process.pid}").exists()


async def test_a_paused_process_can_be_stopped(tmp_path: Path) -> None:
    port = free_port()
    process = await Process.start("ceiling", ["turnlog_bench.ceiling", str(port)], os.environ, tmp_path / "log")
    await process.ready(port)
    process.pause()
    await process.stop()
    process.check()


async def test_no_answer_in_time_is_a_failure(tmp_path: Path) -> None:
    port = free_port()
    process = await Process.start(
        "ceiling", ["turnlog_bench.ceiling", str(port)], os.environ, tmp_path / "log", piped=True
    )
    try:
        with pytest.raises(MeasureFailed, match="did not answer within"):
            await process.ask(b"{}\n", 0.1)
    finally:
        await process.stop()
