"""One run: a whole system, the load on it, faults by the seed's schedule, then everything healed, quiet and checked.

start → load → fault, hold, heal, recover … → stop load → heal all → quiet → checks → verify → rebuild → report
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from faults import capabilities, judge
from faults.client import Deadlines, Doors
from faults.ground import Ground, Pace
from faults.inject import FAULTS, Fault
from faults.load import Load
from faults.load_readers import read_task
from faults.record import Call, Record
from faults.recovery import Recovery, recover
from faults.report import Report
from faults.schedule import Step, steps
from faults.watch import Watch
from faults.world import LIMITS, World, WorldPlan, running

WARM_S, GRACE_S, QUIET_S = 3.0, 20.0, 60.0
STILL_S = float(LIMITS["TURNLOG_COMPRESS_IDLE_S"]) + 3.0
"""Sessions that fell silent get a last summary: what is still to come must not come while the streams are closed."""
ENVIRONMENT = {"TURNLOG_COMPRESS_TURNS": "30", "TURNLOG_COMPRESS_WORKERS": "4"}
"""With a load of hundreds of turns a second, a summary every few turns would be all that the machine does."""
LOOK_S = 0.1
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to run: `names` restricts the faults (empty: all), `disk_mib` gives PostgreSQL a small disk of its own where
    that can be done (a full disk needs it)."""

    seconds: float
    seed: int
    out: Path
    names: tuple[str, ...] = ()
    pause_s: float = 6.0
    pace: Pace = field(default_factory=Pace)
    hold_scale: float = 1.0
    once: bool = False
    """End when every fault was made once."""
    disk_mib: int = 512
    recover_s: float = 30.0
    """How long projector and compressor may take after a fault was healed."""


@dataclass(slots=True)
class Injected:
    """One fault as it happened."""

    fault: Fault
    began_s: float
    entered_s: float = 0.0
    leaving_s: float = 0.0
    healed_s: float = 0.0
    recovery: Recovery | None = None
    failed: str = ""
    deaths: int = 0
    exits: list[str] = field(default_factory=list)
    """Replicas told to stop that did not end with status 0."""


@dataclass(slots=True)
class Run:
    """The state of a run."""

    options: Options
    world: World
    ground: Ground
    watch: Watch
    say: Say
    zero_s: float = field(default_factory=time.monotonic)
    injected: list[Injected] = field(default_factory=list)
    recoveries: list["asyncio.Task[None]"] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Print with the time since the start."""
        self.say(f"{time.monotonic() - self.zero_s:8.2f} s  {text}")


def runnable(options: Options) -> tuple[list[Fault], Mapping[str, str]]:
    """The faults that can be made here, and why the others cannot. Raises ValueError for a name that is none."""
    if unknown := set(options.names) - {fault.name for fault in FAULTS}:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
    wanted = [fault for fault in FAULTS if not options.names or fault.name in options.names]
    reasons = {fault.name: capabilities.missing(fault.needs) for fault in wanted}
    return [f for f in wanted if not reasons[f.name]], {name: why for name, why in reasons.items() if why}


async def run(options: Options, folder: Path, say: Say = print) -> Report:
    """Everything, in a folder with a short path; the report is also written to `options.out`."""
    faults, not_run = runnable(options)
    disk_mib = options.disk_mib if any("mount" in fault.needs for fault in faults) else 0
    record = Record(options.out / "calls.jsonl")
    try:
        async with (
            running(folder, WorldPlan(disk_mib=disk_mib, environment=ENVIRONMENT)) as world,
            _watching(world) as watch,
        ):
            ground = _ground(world, record, options)
            this = Run(options, world, ground, watch, say)
            Call.zero_s = this.zero_s
            load = Load(ground)
            load.start()
            this.tell("load begins")
            await asyncio.sleep(WARM_S)
            await _all_faults(this, faults)
            quiet = await _settle(this, load)
            report = await judge.judged(this, load, not_run, quiet)
    finally:
        record.close()
    report.write(options.out)
    return report


def _ground(world: World, record: Record, options: Options) -> Ground:
    ingest = [_Target(r.name, url) for r, url in zip(world.of("ingest"), world.ingest_urls, strict=True)]
    query = [_Target(r.name, url) for r, url in zip(world.of("query"), world.query_urls, strict=True)]
    write_s, read_s = float(LIMITS["TURNLOG_DEADLINE_S"]), float(LIMITS["TURNLOG_READ_DEADLINE_S"])
    deadlines = Deadlines(write_s, read_s)
    return Ground(Doors(ingest), Doors(query), world.tenants, record, options.seed, options.pace, deadlines)


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    url: str


@asynccontextmanager
async def _watching(world: World) -> AsyncIterator[Watch]:
    watch = Watch(world.replicas)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _all_faults(run: Run, faults: Sequence[Fault]) -> None:
    """Faults until the time is up; each that can be made at least once where the time suffices."""
    by_name = {fault.name: fault for fault in faults}
    end_s = run.zero_s + run.options.seconds
    planned = steps(faults, run.options.seed, run.options.pause_s, run.options.hold_scale) if faults else ()
    for number, step in enumerate(planned):
        if time.monotonic() + step.lasts_s > end_s or (run.options.once and number == len(faults)):
            break
        done = await _one_step(run, step, by_name)
        recovery = Recovery(time.monotonic())
        for injected in done:
            injected.recovery = recovery
        run.recoveries.append(asyncio.create_task(recover(run.ground, recovery, f"r{number}")))
        await asyncio.wait({run.recoveries[-1]}, timeout=step.pause_s)
        if recovery.projector_s is not None and recovery.compressor_s is not None:
            run.tell(f"recovered: projector {recovery.projector_s:.2f} s, compressor {recovery.compressor_s:.2f} s")
            await asyncio.sleep(min(1.0, step.pause_s))


async def _one_step(run: Run, step: Step, faults: Mapping[str, Fault]) -> list[Injected]:
    tasks = [
        asyncio.create_task(_inject(run, faults[name], hold_s, number * step.apart_s))
        for number, (name, hold_s) in enumerate(zip(step.names, step.hold_s, strict=True))
    ]
    return list(await asyncio.gather(*tasks))


async def _inject(run: Run, fault: Fault, hold_s: float, after_s: float) -> Injected:
    await asyncio.sleep(after_s)
    rng = random.Random(f"{run.options.seed}/{fault.name}/{len(run.injected)}")
    done = Injected(fault, time.monotonic())
    run.injected.append(done)
    deaths, exits = sum(map(len, run.world.deaths.values())), len(run.world.exits)
    run.tell(f"fault: {fault.name}  ({fault.row})")
    try:
        async with fault.apply(run.world, rng):
            done.entered_s = time.monotonic()
            await asyncio.sleep(hold_s)
            done.leaving_s = time.monotonic()
    except (
        OSError,
        TimeoutError,
        RuntimeError,
        AssertionError,
        ValueError,
    ) as error:  # a fault that could not be made or healed
        done.failed = f"{type(error).__name__}: {error}"[:400]
    done.healed_s = time.monotonic()
    done.entered_s = done.entered_s or done.healed_s
    done.leaving_s = done.leaving_s or done.healed_s
    done.deaths = sum(map(len, run.world.deaths.values())) - deaths
    done.exits = [f"{name} {status}" for name, status in run.world.exits[exits:] if status]
    held = f"held {done.leaving_s - done.entered_s:.1f} s, healing took {done.healed_s - done.leaving_s:.1f} s"
    run.tell(f"healed: {fault.name}  ({done.failed or held})")
    run.ground.record.note("fault", name=fault.name, began_s=done.began_s, healed_s=done.healed_s)
    return done


async def _settle(run: Run, load: Load) -> str:
    """Stop the load and wait until nothing moves any more; what did not come to rest in time, or ""."""
    try:
        await run.world.healthy()
    except TimeoutError as error:
        run.tell(f"not healthy: {error}")
    await load.stop(GRACE_S)
    run.tell("load has ended")
    reader = run.ground.client(run.ground.tenants[0], run.ground.query, "settle")
    end_s = time.monotonic() + QUIET_S
    moved = _Moved(run)
    while waits := await moved.lately() or _waits_for(run, load):
        if time.monotonic() > end_s:
            break
        await asyncio.sleep(LOOK_S)
        for task in run.ground.record.tasks.values():
            if not task.state:
                reader.tenant = task.tenant
                await read_task(reader, task)
    run.ground.give_up.set()
    if run.recoveries:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait(run.recoveries, timeout=15)
    await asyncio.sleep(1.0)
    await load.close()
    run.tell(f"not quiet: {waits}" if waits else "quiet")
    return waits


class _Moved:
    """Whether the logs still grow (the compressor works off what waited), or JetStream is behind."""

    def __init__(self, run: Run) -> None:
        self._run, self._heads, self._since_s = run, dict[str, int](), time.monotonic()

    async def lately(self) -> str:
        """What moved within the last seconds, or ""."""
        try:
            heads = await self._run.world.heads()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return f"PostgreSQL does not answer: {type(error).__name__}"
        if heads != self._heads:
            self._heads, self._since_s = heads, time.monotonic()
        return "the logs still grow" if time.monotonic() - self._since_s < STILL_S else ""


def _waits_for(run: Run, load: Load) -> str:
    """What is still on its way."""
    waits = []
    if not load.streams_at_end():
        waits.append("streams have not come to the end")
    if any(not task.state for task in run.ground.record.tasks.values()):
        waits.append("compressions have not ended")
    if any(not task.done() for task in run.recoveries):
        waits.append("read models or compressor have not recovered")
    return "; ".join(waits)
