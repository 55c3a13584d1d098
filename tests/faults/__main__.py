"""`python -m faults`: one run of faults against a whole system. Exit status 1 when anything is red."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from faults.inject import FAULTS
from faults.report import Report
from faults.run import Options, run, runnable


def main() -> int:
    """Parse, run, show."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--only", default="", help="names of faults, by comma")
    parser.add_argument("--pause", type=float, default=6.0, help="seconds to recover between faults, about")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the report; default: a temporary one, printed"
    )
    parser.add_argument("--list", action="store_true", help="show the faults and whether they can be made here")
    given = parser.parse_args()
    names = tuple(filter(None, given.only.split(",")))
    seed = secrets.randbelow(10_000) if given.seed is None else given.seed
    out: Path = given.out or Path(tempfile.mkdtemp(prefix="turnlog-faults-"))
    out.mkdir(parents=True, exist_ok=True)
    options = Options(given.minutes * 60, seed, out, names, given.pause)
    if given.list:
        return _list(options)
    print(f"seed {seed}, report in {out}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tlf-"))
    try:
        report: Report = _complete(run(options, folder, lambda line: print(line, flush=True)))
    finally:
        shutil.copytree(folder, out / "logs", ignore=_not_logs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    print(report.markdown(), flush=True)
    return 0 if report.green else 1


def _complete(work: Coroutine[Any, Any, Report]) -> Report:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _list(options: Options) -> int:
    _, not_run = runnable(options)
    for fault in FAULTS:
        print(f"{fault.name:40} {not_run.get(fault.name, 'can be made here'):30} {fault.row}")
    return 0


def _not_logs(folder: str, names: list[str]) -> list[str]:
    """Everything but logs of services and servers: data is large, and secrets are in it."""
    return [name for name in names if not (name.endswith(".log") or (Path(folder) / name).is_dir())]


if __name__ == "__main__":
    sys.exit(main())
