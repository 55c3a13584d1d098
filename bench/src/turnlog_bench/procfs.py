"""What the kernel says of a process: CPU time and memory (Linux)."""

import os
from pathlib import Path

import psutil

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, of its ended children, and of its living ones (PostgreSQL's backends)."""
    own = _cpu_s(pid, reaped=True)
    return own + sum(_cpu_s(child.pid, reaped=True) for child in psutil.Process(pid).children(recursive=True))


def _cpu_s(pid: int, *, reaped: bool) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text[text.rindex(")") + 2 :].split()
    last = 15 if reaped else 13  # utime, stime, cutime, cstime
    return sum(map(int, fields[11:last])) * _TICK_S


def memory_kib(pid: int) -> float:
    """Proportional set size of a process and its children: shared pages count once in all."""
    pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return sum(map(_pss_kib, pids))


def _pss_kib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)
