"""The environment of a process whose wall clock is off, made by `wall_clock.c`; its monotonic clock is right."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
COMPILE_S = 30.0


class NotBuilt(Exception):
    """There is no C compiler here, or it does not take the source; says which."""


def environment(folder: Path, off_s: int) -> dict[str, str]:
    """What to add to the environment of a process that shall believe to be `off_s` seconds ahead (or, below 0, behind).
    The library is built into `folder` once. Raises `NotBuilt`."""
    library = folder / "wall_clock.so"
    if not library.exists():
        compiler = os.environ.get("CC", "cc")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotBuilt(f"no C compiler: {error}") from error
        if done.returncode:
            raise NotBuilt(f"{compiler} failed: {done.stderr.strip()[:200]}")
    return {"LD_PRELOAD": str(library), "WALL_CLOCK_OFF_S": str(off_s)}
