"""Walks over the crash points of a scenario: for each one a crash, a restart and all checks."""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from faults.steps.forks import ForkServer, Outcome, fork_server
from faults.steps.ground import Addresses
from faults.steps.killer import line_of
from faults.steps.report import StepReport, Violation
from turnlog_migrations import migrate

ENDS_IN_A_ROW = 4
"""So many runs that reach their end without a crash, one after the other, end a walk of all points: scheduling varies a
little. A sample ends with the first."""
TRACES = 2
"""Undisturbed runs before a walk of all points (a sample: one)."""
LINE_TRIES = 3
PAIRS = 24
"""Crashes followed by a crash of the repeat, in a walk of all points."""
FIRST_REDIS_DATABASE = 8
VIOLATIONS_MAX = 20


class Walker:
    """Fork servers (lanes) on a database of their own; one walk at a time."""

    def __init__(self, addresses: Addresses, lanes: Sequence[ForkServer]) -> None:
        self._addresses, self._lanes = addresses, lanes

    async def walk(self, scenario: str, every: int = 1, offset: int = 0) -> StepReport:
        """Crash at the points offset + 1, offset + 1 + every, … of a scenario; with `every` = 1 at all."""
        return await _Walk(self._addresses, self._lanes, scenario, every, offset).run()


@asynccontextmanager
async def walker(servers: Any, lanes: int = 2) -> AsyncIterator[Walker]:
    """A walker on these servers: `turnlog_embedded.Servers`, or whatever has `owner_dsn`, `dsn`, `nats_url` and
    `redis_url`. The Redis databases from `FIRST_REDIS_DATABASE` on are emptied and used."""
    owner = getattr(servers, "owner_dsn", None) or servers.postgres_dsn
    app = getattr(servers, "dsn", None) or servers.postgres_app_dsn
    name = f"turnlog_steps_{uuid.uuid4().hex[:8]}"
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute(f"create database {name}")
        addresses = Addresses(_with_path(owner, name), _with_path(app, name), servers.nats_url, servers.redis_url)
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(fork_server()) for _ in range(lanes)]
            await migrate(addresses.owner_dsn)
            for server in started:
                await server.ready()
            yield Walker(addresses, started)
    finally:
        await connection.execute(f"drop database if exists {name} with (force)")
        await connection.close()


async def walk(servers: Any, scenario: str, every: int = 1, offset: int = 0) -> StepReport:
    """One walk with a walker of its own; see `Walker.walk` and `walker`."""
    async with walker(servers) as made:
        return await made.walk(scenario, every, offset)


class _Walk:
    def __init__(
        self, addresses: Addresses, lanes: Sequence[ForkServer], scenario: str, every: int, offset: int
    ) -> None:
        self._addresses, self._lanes, self._scenario = addresses, lanes, scenario
        self._points = itertools.count(offset + 1, every)
        self._every = every
        self._ends = 0
        self._lines: set[str] = set()
        self._crashed_at: set[str] = set()
        self._expected: Any = None
        self.report = StepReport(scenario)

    async def run(self) -> StepReport:
        began = time.monotonic()
        for lane in range(TRACES if self._every == 1 else 1):
            await self._once(lane % len(self._lanes), None)
        await asyncio.gather(*(self._in_lane(number) for number in range(len(self._lanes))))
        if self._every == 1:
            await self._try_missed()
            await self._crash_twice()
        self.report.lines = len(self._lines)
        self.report.missed = tuple(sorted(self._lines - self._crashed_at))
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _in_lane(self, lane: int) -> None:
        enough = ENDS_IN_A_ROW if self._every == 1 else 1
        while self._ends < enough and len(self.report.violations) < VIOLATIONS_MAX:
            outcome = await self._once(lane, next(self._points))
            self._ends = self._ends + 1 if outcome.how == "ended" else 0

    async def _try_missed(self) -> None:
        """Scheduling varies, so a line that all runs pass may have slipped between two points: crash at that line."""
        for line in sorted(self._lines - self._crashed_at):
            for _ in range(LINE_TRIES):
                if line not in self._crashed_at:
                    await self._once(0, None, line)

    async def _crash_twice(self) -> None:
        """Crash, and crash again while that is being made good: pairs of points, the same in every walk."""
        rng = random.Random(self._scenario)
        for number in range(PAIRS):
            first, second = (rng.randint(1, 2 * self.report.awaits) for _ in range(2))
            await self._once(number % len(self._lanes), first, again=second)

    async def _once(self, lane: int, point: int | None, line: str | None = None, again: int | None = None) -> Outcome:
        """A crash at one point, or at a line (or none), perhaps another one `again`; the restart, the checks."""
        job = {"scenario": self._scenario, "log": f"s-{uuid.uuid4().hex[:12]}"}
        addresses = replace(self._addresses, redis_url=_redis_of(self._addresses.redis_url, lane))
        job |= {"addresses": asdict(addresses)}
        server = self._lanes[lane]
        crashed = await server.run(job | {"do": "crash", "kill_at": point, "kill_line": line})
        place = self._note(point, crashed)
        answers = crashed.answers
        if again is not None:
            repeated = await server.run(job | {"do": "again", "kill_at": again, "answers": answers})
            place = f"{place}, then {self._note(again, repeated)}"
            self._judge(point, place, repeated, "the repeat")
            answers = answers | repeated.answers
        restarted = await server.run(job | {"do": "restart", "answers": answers})
        self.report.restarts += 1
        self._judge(point, place, crashed, "the operation")
        self._judge(point, place, restarted, "the restart")
        wrong = list(restarted.wrong)
        if crashed.how == "ended" and self._expected is None:
            self._expected = restarted.result
        elif restarted.result != self._expected and restarted.how == "ended":
            wrong.append(f"without a crash something else came of it: {_differing(restarted.result, self._expected)}")
        self.report.violations += [Violation(point or 0, place, what) for what in wrong]
        return crashed

    def _note(self, point: int | None, crashed: Outcome) -> str:
        if crashed.how == "killed":
            self.report.crashes += 1
            self._crashed_at.add(line_of(crashed.place))
            return crashed.place
        if crashed.places:
            self.report.awaits = min(self.report.awaits or crashed.points, crashed.points // 2)
        self._lines |= {line_of(place) for place in crashed.places}
        return "no crash"

    def _judge(self, point: int | None, place: str, outcome: Outcome, what: str) -> None:
        expected = ("ended",) if what == "the restart" else ("killed", "ended")
        if outcome.how not in expected or outcome.failed:
            self.report.violations.append(Violation(point or 0, place, f"{what} {outcome.how}: {outcome.failed}"))


def _differing(found: Any, expected: Any) -> str:
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        return f"{found} instead of {expected}"
    names = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
    return ", ".join(
        f"{n} ({'other' if n in found and n in expected else 'added' if n in found else 'missing'})" for n in names
    )


def _with_path(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def _redis_of(url: str, lane: int) -> str:
    number, parts = FIRST_REDIS_DATABASE + lane, urlsplit(url)
    if parts.scheme == "unix":
        return urlunsplit(parts._replace(query=f"db={number}"))
    return urlunsplit(parts._replace(path=f"/{number}"))
