"""Tools from Debian's packages for the tests: taken from the PATH, or unpacked into a cache folder of the user.

Unpacking needs no root and changes nothing of the system: apt is given lists and caches of its own. Where there is
neither the tool nor apt, or the archive cannot be reached, the tests that need it are skipped, and say so.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

FETCH_S = 240
PLACES = ("usr/sbin", "usr/bin", "sbin", "bin")


@cache
def tool(name: str, packages: tuple[str, ...]) -> Path:
    """The path of a program: on the PATH, or out of Debian's `packages` (which hold all that it needs and a small
    system has not). Skips the test when it cannot be had."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is not None:
        return Path(found)
    root = _cache_folder() / "-".join(packages)
    program = _program_in(root, name)
    if program is None:
        if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
            pytest.skip(f"{name} is not installed and there is no apt: install Debian's {packages[0]} to run this test")
        _unpack(root, packages)
        program = _program_in(root, name)
    assert program is not None, f"{packages} hold no {name}"
    missing = _missing_libraries(program)
    if missing:
        pytest.skip(f"{name} out of {packages} lacks {', '.join(missing)}: install {packages[0]} to run this test")
    return program


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnlog-tests" / "debian"


def _program_in(root: Path, name: str) -> Path | None:
    return next((root / place / name for place in PLACES if (root / place / name).exists()), None)


def _unpack(root: Path, packages: Sequence[str]) -> None:
    """Download the packages with lists of our own and unpack them beside; one process at a time."""
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():
            return
        side = root.with_name(f"{root.name}.{os.getpid()}")
        downloads, lists = side / "downloads", folder / "lists"
        downloads.mkdir(parents=True)
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        own = (
            *("-o", f"Dir::State::lists={lists}"),
            *("-o", f"Dir::Cache={folder}"),
            *("-o", "APT::Sandbox::User=root"),
        )
        try:
            for arguments in (("update",), ("download", *packages)):
                done = subprocess.run(
                    ["apt-get", "-q", *own, *arguments],
                    cwd=downloads,
                    capture_output=True,
                    text=True,
                    timeout=FETCH_S,
                    check=False,
                )
                if done.returncode:
                    pytest.skip(f"Debian's {packages[0]} cannot be had here: {done.stderr.strip()[-300:]}")
            for package in downloads.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(package), str(side)], check=True, capture_output=True)
            shutil.rmtree(downloads)
            side.rename(root)
        finally:
            shutil.rmtree(side, ignore_errors=True)


def _missing_libraries(program: Path) -> list[str]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in listed.splitlines() if "not found" in line]
