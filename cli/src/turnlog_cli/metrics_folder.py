"""The folder in which the processes of one system write their metrics, so that the API's /metrics tells of all.

Each process writes to files under its name (`join`, before any metric is made), not its process id: one that was
started again counts on, and a system whose workers die often does not fill the folder. What a process says of its
present (lags, what it leads) goes with it (`left`); what it has counted stays.

The files are written through memory: where a full disk has no room for a page, the kernel ends the process (SIGBUS).
So they have their room before they are used, and a system whose disk is full goes on reading.
"""

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemax", "gauge_livemin")
ROOM_BYTES = 1 << 20
"""Of each file: a request's route, method and status take 5 kB of the largest."""


def empty_folder(data_dir: Path) -> Path:
    """The system's folder, with nothing in it."""
    folder = data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def join(name: str, environment: Mapping[str, str]) -> None:
    """Have this process write its metrics under `name`, if its environment names a folder."""
    if not (folder := environment.get(VARIABLE)):
        return
    from prometheus_client import values

    for kind in KINDS:
        _reserve(Path(folder) / f"{kind}_{name}.db")
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: name)  # type: ignore[no-untyped-call]


def left(name: str, environment: Mapping[str, str]) -> None:
    """The process of this name has ended."""
    if folder := environment.get(VARIABLE):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(name, folder)  # type: ignore[no-untyped-call]


def _reserve(path: Path) -> None:
    """Give the file its room, or what there is."""
    with contextlib.suppress(OSError), path.open("ab") as file:
        file.write(bytes(max(0, ROOM_BYTES - file.tell())))
