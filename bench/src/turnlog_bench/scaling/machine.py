"""What a run was measured on: processors, memory, kernel, PostgreSQL, and how long the disk takes to flush."""

import asyncio
import os
import platform
import statistics
import time
from pathlib import Path

import asyncpg
import psutil

from turnlog_bench.stack import Stack

FLUSHES = 100
PAGE = bytes(8192)


async def machine(stack: Stack) -> dict[str, str | float]:
    """The facts of this machine; the flush is taken beside PostgreSQL's own data."""
    connection = await asyncpg.connect(stack.servers.postgres_dsn)
    try:
        version = str(await connection.fetchval("show server_version"))
    finally:
        await connection.close()
    flush_ms = await asyncio.to_thread(median_flush_ms, stack.folder)
    return {
        "cores": float(os.cpu_count() or 1),
        "memory_gib": psutil.virtual_memory().total / 1024**3,
        "processor": _processor(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "python": platform.python_version(),
        "postgresql": version,
        "flush_ms": flush_ms,
    }


def median_flush_ms(folder: Path) -> float:
    """Milliseconds that writing 8 KiB at the end of a file and `fdatasync` take, in the median."""
    took = []
    path = folder / "flush"
    with path.open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            began = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            took.append(1e3 * (time.perf_counter() - began))
    path.unlink()
    return statistics.median(took)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
