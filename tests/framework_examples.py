"""Running an example of a framework adapter as a user would."""

import subprocess
import sys
from pathlib import Path

from system import environment

FOLDER = Path(__file__).parents[1] / "clients" / "python" / "examples"


def printed(example: str, url: str) -> str:
    """What the example prints; it must end well and complain of nothing."""
    command = [sys.executable, str(FOLDER / example), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout
