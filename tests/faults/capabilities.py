"""What this machine lets us do to it, found out by doing it once: a fault that cannot be made here is said to be so.

`missing` is what the runs and the tests ask.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from faults import wall_clock

TRY_S = 10.0
DAY_S = 86_400


def missing(needs: Iterable[str]) -> str:
    """Why something that needs these capabilities cannot be done here; "" when it can."""
    return "; ".join(reason for need in needs if (reason := _why_not(need)))


@functools.cache
def _why_not(need: str) -> str:
    return _TRIES[need]()


def _root() -> str:
    return "" if os.geteuid() == 0 else "needs root"


def _mount() -> str:
    with tempfile.TemporaryDirectory() as folder:
        done = _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
        if done:
            return f"a tmpfs cannot be mounted: {done}"
        return _run("umount", folder)


def _strace() -> str:
    """Whether a process that we did not start under strace can have its fsync broken."""
    script = "import os,sys,time\nfd=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT)\nend=time.time()+8\n"
    script += "while time.time()<end:\n try:\n  os.fsync(fd)\n except OSError:\n  sys.exit(7)\n time.sleep(0.02)\n"
    with tempfile.TemporaryDirectory() as folder:
        victim = subprocess.Popen([sys.executable, "-c", script, f"{folder}/file"])
        try:
            tracer = subprocess.Popen(
                ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO",
                 "-p", str(victim.pid)],
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            victim.kill()
            victim.wait()
            return f"no strace: {error.strerror}"
        status = victim.wait(TRY_S)
        tracer.terminate()
        tracer.wait(TRY_S)
    return "" if status == 7 else "strace may not attach to a running process, or cannot inject"


def _wall_clock() -> str:
    """Whether a process can be given a wall clock of its own."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            environment = os.environ | wall_clock.environment(Path(folder), DAY_S)
        except wall_clock.NotBuilt as error:
            return str(error)
        ask = [sys.executable, "-c", "import time; print(time.time())"]
        done = subprocess.run(ask, env=environment, capture_output=True, text=True, timeout=TRY_S, check=False)
    try:
        return "" if abs(float(done.stdout) - time.time() - DAY_S) < TRY_S else "the clock cannot be changed here"
    except ValueError:
        return "a preloaded clock breaks Python here"


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} failed")


_TRIES: dict[str, Callable[[], str]] = {"root": _root, "mount": _mount, "strace": _strace, "wall_clock": _wall_clock}
