"""What is done to the embedded servers beyond starting and stopping: paused whole, moved onto a small disk, their data
kept, swapped and wiped."""

import asyncio
import contextlib
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from turnlog_embedded import ServerFailed, Servers

SERVERS = ("postgres", "nats", "valkey")
BRING_UP_S = 60.0


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all it has started, itself first; empty when it has ended."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pause(pid: int) -> list[psutil.Process]:
    """SIGSTOP for a process and all that it started, also what it starts meanwhile; they are returned."""
    stopped: list[psutil.Process] = []
    while more := [process for process in family_of(pid) if process not in stopped]:
        for process in more:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        stopped += more
    return stopped


def resume(stopped: list[psutil.Process]) -> None:
    """SIGCONT for those, whether or not the first of them still lives."""
    for process in reversed(stopped):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


async def bring_up(servers: Servers, name: str) -> None:
    """Start a server; one that fails (its disk is not free yet, its old processes are not gone) is tried again."""
    async with asyncio.timeout(BRING_UP_S):
        while True:
            try:
                await servers.start_one(name)
                return
            except ServerFailed:
                await asyncio.sleep(0.2)


def copy_data(whence: Path, whither: Path) -> None:
    """A copy of a server's data, owners and modes included; the server is stopped."""
    subprocess.run(["cp", "-a", f"{whence}/.", str(_made(whither))], check=True)


def swap_in(copy: Path, place: Path) -> None:
    """Make `place` hold what `copy` holds; what it held before is gone."""
    empty(place)
    subprocess.run(["cp", "-a", f"{copy}/.", str(place)], check=True)


def empty(place: Path) -> None:
    """Remove what a folder holds, but not the folder (it may be a disk)."""
    for entry in place.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


async def onto_a_small_disk(servers: Servers, size_mib: int, cleanup: AsyncExitStack) -> Path:
    """Move PostgreSQL's data onto a disk of its own, in memory; `cleanup` stops the server and unmounts it."""
    place = servers.data_dir_of("postgres")
    await servers.stop_one("postgres")
    moved = place.with_name("postgres.moved")
    found = place.stat()
    place.rename(moved)
    await mount_memory(place, f"size={size_mib}m,mode=0700,uid={found.st_uid},gid={found.st_gid}", cleanup)
    cleanup.push_async_callback(servers.stop_one, "postgres")
    await asyncio.to_thread(copy_data, moved, place)
    shutil.rmtree(moved)
    await servers.start_one("postgres")
    return place


async def mount_memory(place: Path, options: str, cleanup: AsyncExitStack) -> None:
    """A new folder that is a disk in memory until `cleanup`. Needs the capability `mount`."""
    place.mkdir(mode=0o700)
    await asyncio.to_thread(_run, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    cleanup.push_async_callback(asyncio.to_thread, _run, "umount", "--lazy", str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
