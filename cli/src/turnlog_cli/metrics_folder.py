"""The folder in which the processes of one system write their metrics, so that the API's /metrics tells of all.

Each process writes to files under its name (`join`, before any metric is made), not its process id: one that was
started again counts on, and a system whose workers die often does not fill the folder. What a process says of its
present (lags, what it leads) goes with it (`left`); what it has counted stays.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def empty_folder(data_dir: Path) -> Path:
    """The system's folder, with nothing in it."""
    folder = data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def join(name: str, environment: Mapping[str, str]) -> None:
    """Have this process write its metrics under `name`, if its environment names a folder."""
    if not environment.get(VARIABLE):
        return
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: name)  # type: ignore[no-untyped-call]


def left(name: str, environment: Mapping[str, str]) -> None:
    """The process of this name has ended."""
    if folder := environment.get(VARIABLE):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(name, folder)  # type: ignore[no-untyped-call]
