"""Tools from npm for the tests, at the versions pinned here, installed once into a cache folder of the user.

They are optional: where npm or its registry is missing the tests that need them are skipped, and say so.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PLATFORM = f"{sys.platform}-{ {'x86_64': 'x64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }"
NODE = f"node-{PLATFORM}"
PINNED = {
    NODE: "22.23.3",
    "@modelcontextprotocol/conformance": "0.2.0-alpha.12",
    "@modelcontextprotocol/inspector": "2.12.0",
}
INSTALL_S = 300
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@cache
def installed() -> Path:
    """The folder with the tools in it. Skips the test when they cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: the official conformance suite and the Inspector were not run")
    mark = hashlib.sha256(json.dumps(PINNED, sort_keys=True).encode()).hexdigest()[:12]
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnlog-tests"
    folder = cache_folder / f"npm-{mark}"
    if not folder.exists():
        side = folder.with_name(f"{folder.name}.{os.getpid()}")
        side.mkdir(parents=True)
        packages = [f"{name}@{version}" for name, version in PINNED.items()]
        install = [npm, "install", "--prefix", str(side), "--ignore-scripts", "--no-audit", "--no-fund", *packages]
        done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            shutil.rmtree(side)
            said = done.stderr.strip()[-500:]
            assert any(sign in said for sign in UNREACHABLE), said
            pytest.skip(f"the npm registry cannot be reached, so the official tools were not run: {said}")
        try:
            side.rename(folder)
        except OSError:  # another run was faster
            shutil.rmtree(side)
    return folder


def command(package: str, script: str) -> list[str]:
    """How a script of an installed package is run, on the Node that is installed with it."""
    modules = installed() / "node_modules"
    return [str(modules / NODE / "bin" / "node"), str(modules / package / script)]
