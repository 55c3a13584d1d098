"""The parent's end of the watchdog: servers end with a killed parent where the kernel does not help."""

import os
import subprocess
import sys
from pathlib import Path

WATCHDOG = Path(__file__).with_name("watchdog.py")


def kernel_ends_orphans() -> bool:
    """Whether the kernel signals a child whose parent died (Linux: PR_SET_PDEATHSIG)."""
    return sys.platform == "linux"


class Lifeline:
    """A pipe to a watchdog process; its end is the signal that the parent is gone."""

    def __init__(self) -> None:
        reader, self._writer = os.pipe()  # both close-on-exec: no server keeps the line open
        try:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-I", "-S", str(WATCHDOG)],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(reader)

    @property
    def fd(self) -> int:
        """The writing end, to be passed to a child that announces itself and closes it."""
        return self._writer

    def drop(self, pid: int) -> None:
        """Forget a pid that has ended: it may be given to another process."""
        if self._writer >= 0:
            os.write(self._writer, f"drop {pid}\n".encode())

    def close(self) -> None:
        """End the watchdog; pids not dropped get their signals."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
            self._watchdog.wait(timeout=5)
