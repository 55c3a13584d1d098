"""Stops servers whose parent was killed, where the kernel does not (anything but Linux).

A process of its own that reads lines from a pipe: `add PID SIGNAL`, `drop PID`. When the pipe ends, the
parent is gone, however it went, and every pid still listed gets its signal. The servers themselves announce
each pid (`launch.py`).
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def watch(lines: Iterable[str]) -> None:
    """Follow the pipe to its end, then signal the listed pids."""
    signals: dict[int, int] = {}
    for line in lines:
        words = line.split()
        if words[0] == "add":
            signals[int(words[1])] = int(words[2])
        else:
            signals.pop(int(words[1]), None)
    for pid, number in signals.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it goes with its parent, and only then
        signal.signal(ignored, signal.SIG_IGN)
    watch(sys.stdin)
