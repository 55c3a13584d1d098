"""Faults of the machine below: a full disk, a disk that fails, a clock that is wrong."""

import asyncio
import contextlib
import functools
import os
import random
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil

from faults import wall_clock
from faults.capabilities import DAY_S
from faults.inject_fault import FROM_THE_MODELS, OR_REFUSED, SOMETIMES_STORED, Fault
from faults.inject_servers import away
from faults.servers import family_of
from faults.world import World
from turnlog_embedded.binaries import find_postgres

FULL = "disk full"
CLOCK = "clock one day off"
BALLAST = "ballast"
TRACER_S, RECOVERS_S = 5.0, 8.0
LEAST_BYTES = 4096


@asynccontextmanager
async def disk_full(world: World, rng: random.Random) -> AsyncIterator[None]:
    """No byte is left on PostgreSQL's disk; what already has its place can still be written."""
    if world.small_disk is None:
        raise RuntimeError("this world has no small disk: give WorldPlan.disk_mib")
    ballast = world.small_disk / BALLAST
    try:
        await asyncio.to_thread(fill, ballast)
        yield
    finally:
        ballast.unlink(missing_ok=True)
        await world.bring_up("postgres")  # it gives up when the disk fills while it writes its own log


def fill(ballast: Path) -> None:
    """Take all the space there is, however others free some meanwhile."""
    with ballast.open("wb") as file:
        size_bytes = 0
        step = 2**26
        while step >= LEAST_BYTES:
            try:
                os.posix_fallocate(file.fileno(), size_bytes, step)
                size_bytes += step
            except OSError:
                step //= 2


@asynccontextmanager
async def fsync_errors(world: World, rng: random.Random) -> AsyncIterator[None]:
    """Every fsync of PostgreSQL fails: it must not believe its disk any more, ends all sessions and recovers. The
    disk is well again at its first panic or when healed."""
    world.held.add("postgres")
    log = world.servers.log_path("postgres")
    start = log.stat().st_size
    tracer = await _attach(family_of(world.servers.pids["postgres"]))
    watching = asyncio.create_task(_until_panic(log, start)) if rng.random() < 0.5 else None
    if watching is not None:
        watching.add_done_callback(lambda _: _signal(tracer, signal.SIGTERM))
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})
        await _detach(tracer)
        await world.bring_up("postgres")
        if not await _serves_again(world):  # PostgreSQL 18 can wait for ever for a recovery that itself panicked
            world.servers.kill("postgres")
            await world.bring_up("postgres")


async def _serves_again(world: World) -> bool:
    """Whether PostgreSQL takes connections again by itself, in good time."""
    ends_at = asyncio.get_running_loop().time() + RECOVERS_S
    while asyncio.get_running_loop().time() < ends_at:
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await world.heads()
            return True
        await asyncio.sleep(0.1)
    return False


async def _attach(family: list[psutil.Process]) -> asyncio.subprocess.Process:
    pids = [word for process in family for word in ("-p", str(process.pid))]
    return await asyncio.create_subprocess_exec(
        "strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync,fdatasync",
        "-e", "inject=fsync,fdatasync:error=EIO", *pids,
        stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


async def _detach(tracer: asyncio.subprocess.Process) -> None:
    _signal(tracer, signal.SIGTERM)
    ended = asyncio.ensure_future(tracer.wait())
    await asyncio.wait({ended}, timeout=TRACER_S)
    if not ended.done():
        _signal(tracer, signal.SIGKILL)
    await asyncio.wait({ended})


async def _until_panic(log: Path, start: int) -> None:
    while b"PANIC" not in log.read_bytes()[start:]:
        await asyncio.sleep(0.05)


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


@asynccontextmanager
async def clock_of_services(world: World, rng: random.Random) -> AsyncIterator[None]:
    """One replica of each service believes that it is tomorrow, or yesterday."""
    victims = [rng.choice(world.of(service)) for service in dict.fromkeys(r.service for r in world.replicas.values())]
    try:
        for victim in victims:  # one after the other: many starting at once take the machine from those that serve
            await victim.terminate()
            await victim.start(await _clock(world, rng))
        yield
    finally:
        for victim in victims:
            await victim.terminate()
            await victim.start()


@asynccontextmanager
async def clock_of_postgres(world: World, rng: random.Random) -> AsyncIterator[None]:
    """PostgreSQL is restarted a day off, and once more to heal."""
    folder = world.folder / "clock"
    settings = " ".join(f"{name}={value}" for name, value in (await _clock(world, rng)).items())
    binaries = find_postgres()
    for name in ("postgres", "initdb"):
        wrapper = folder / name
        before = f"env {settings} " if name == "postgres" else ""
        wrapper.write_text(f'#!/bin/sh\nexec {before}{binaries.bin_dir / name} "$@"\n')
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    said = os.environ.get("TURNLOG_POSTGRES_BIN")
    try:
        async with away(world, "postgres"):
            os.environ["TURNLOG_POSTGRES_BIN"] = str(folder)
        yield
    finally:
        async with away(world, "postgres"):
            os.environ.pop("TURNLOG_POSTGRES_BIN", None)
            if said is not None:
                os.environ["TURNLOG_POSTGRES_BIN"] = said


async def _clock(world: World, rng: random.Random) -> dict[str, str]:
    """The environment of a process that believes to be in tomorrow, or in yesterday."""
    folder = world.folder / "clock"
    folder.mkdir(exist_ok=True)
    return await asyncio.to_thread(wall_clock.environment, folder, rng.choice((DAY_S, -DAY_S)))


_of_postgres = functools.partial(
    Fault, touches=("postgres",), writes=SOMETIMES_STORED, reads=OR_REFUSED, warm_reads=FROM_THE_MODELS, hold_s=5
)

FAULTS = (
    _of_postgres("disk-full", FULL, make=disk_full, needs=("mount",)),
    _of_postgres("fsync-errors", FULL, make=fsync_errors, needs=("strace",)),
    _of_postgres("clock-of-postgres", CLOCK, make=clock_of_postgres, needs=("wall_clock",)),
    Fault(
        "clock-of-services",
        CLOCK,
        ("processes",),
        clock_of_services,
        reads=FROM_THE_MODELS,  # "stale": processes that start leave PostgreSQL's answer unread for a second
        warm_reads=FROM_THE_MODELS,
        needs=("wall_clock",),
        hold_s=5,
    ),
)
