"""Leadership: one holder of a name at a time, spread over the replicas that contend for it.

All leaderships of a process share one session of PostgreSQL (`leader_session.py`), one task and one heartbeat;
`spread.py` decides what to take and what to give up. A lock is only liveness: what a leader writes is fenced where it
is written.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from weakref import WeakValueDictionary

import structlog

from turnlog_eventstore.connections import within
from turnlog_eventstore.leader_session import LeaderSession, Seen
from turnlog_eventstore.metrics import tell_leading
from turnlog_eventstore.spread import Standing, kind_of, moves
from turnlog_eventstore.waiting import passed

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LeadershipSettings:
    """A dead or paused leader is replaced after at most `lease_s` + `retry_s`."""

    lease_s: float = 6.0
    heartbeat_s: float = 1.5
    retry_s: float = 0.5


@dataclass(slots=True)
class Leadership:
    """Held leadership. `lost` is set when it may have passed to another, or shall pass: stop, then ask again."""

    name: str
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class _Candidacy:
    """One `hold` that waits or holds. It counts as holding until it leaves, also when it lost what it held."""

    def __init__(self, name: str) -> None:
        self.leadership = Leadership(name)
        self.granted = asyncio.Event()

    @property
    def lost(self) -> bool:
        """Whether it was asked to stop."""
        return self.leadership.lost.is_set()


class Leaderships:
    """What this process leads and would lead. The session stands only while there is something to contend for."""

    def __init__(self, dsn: str, settings: LeadershipSettings) -> None:
        self._dsn, self._settings = dsn, settings
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._candidacies: dict[str, _Candidacy] = {}
        self._free_since: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Leadership]:
        """Wait until this process leads `name`; let it go on leaving. Waits for ever while PostgreSQL is away."""
        turn = self._turns.setdefault(name, asyncio.Lock())  # two of one process would share its session's lock
        async with turn:
            candidacy = self._candidacies[name] = _Candidacy(name)
            if self._task is None:
                self._task = asyncio.create_task(self._contend())
            self._wake.set()
            tell_leading(name, leads=False)
            try:
                await candidacy.granted.wait()
                tell_leading(name, leads=True)
                yield candidacy.leadership
            finally:
                del self._candidacies[name]
                tell_leading(name, leads=False)
                self._wake.set()
                if not self._candidacies:
                    await self.close()

    def leads(self, name: str) -> bool:
        """Whether this process leads `name`, and may go on."""
        return self._holds(name) and not self._candidacies[name].lost

    async def close(self) -> None:
        """Let go of everything at once."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _contend(self) -> None:
        session: LeaderSession | None = None
        try:
            while True:
                self._wake.clear()
                try:
                    if session is None:
                        session = await LeaderSession.open(self._dsn, self._settings.lease_s)
                        session.on_end(self._wake.set)
                    await within(session.connection, self._settle(session), self._settings.lease_s / 2)
                except Exception as error:  # the outermost loop: whatever it was, what was held is not held any more
                    self._lose_all(type(error).__name__)
                    if session is not None:
                        session.close()
                    session = None
                await passed(self._wake, self._pause_s())
        finally:
            if session is not None:
                session.close()
            self._lose_all("closed")

    def _pause_s(self) -> float:
        """Short while something is waited for, and always short of the lease."""
        waits = any(not candidacy.granted.is_set() for candidacy in self._candidacies.values())
        return self._settings.retry_s * random.uniform(0.7, 1.0) if waits else self._settings.heartbeat_s

    async def _settle(self, session: LeaderSession) -> None:
        """One round: let go of what was left, look, take what is due, ask for what is not."""
        for name in [n for n in session.locked if not self._holds(n)]:
            await session.unlock(name)
        names = [name for name, candidacy in self._candidacies.items() if name in session.locked or not candidacy.lost]
        await session.contend(names)
        standings = self._dated(await session.look(names))
        for _, group in groupby(sorted(standings, key=lambda s: kind_of(s.name)), key=lambda s: kind_of(s.name)):
            await self._move(session, list(group))

    def _holds(self, name: str) -> bool:
        candidacy = self._candidacies.get(name)
        return candidacy is not None and candidacy.granted.is_set()

    def _is_leaving(self, name: str) -> bool:
        candidacy = self._candidacies.get(name)
        return candidacy is None or candidacy.lost

    def _dated(self, seen: list[Seen]) -> list[Standing]:
        now = time.monotonic()
        since = {s.name: self._free_since.get(s.name, now) for s in seen if s.holder is None}
        self._free_since = since
        random.shuffle(seen)  # so that two replicas that start together do not reach for the same names
        return [Standing(s.name, s.holder, s.contenders, now - since.get(s.name, now)) for s in seen]

    async def _move(self, session: LeaderSession, standings: list[Standing]) -> None:
        leaving = {s.name for s in standings if s.name in session.locked and self._is_leaving(s.name)}
        due = moves(session.pid, standings, leaving, self._settings.lease_s)
        for name in due.take:
            candidacy = self._candidacies.get(name)
            if candidacy is None or not await session.try_lock(name):
                continue
            if session.connection.is_closed():  # given up just now, as it was too slow: the lock is gone with it
                return
            if self._candidacies.get(name) is candidacy:  # else it left meanwhile, and the next round lets go
                candidacy.granted.set()
        for name in due.give_up:
            if (candidacy := self._candidacies.get(name)) is not None:
                _log.info("leadership_given_up", name=name)
                candidacy.leadership.lost.set()

    def _lose_all(self, cause: str) -> None:
        for name, candidacy in self._candidacies.items():
            if candidacy.granted.is_set() and not candidacy.lost:
                _log.warning("leadership_lost", name=name, cause=cause)
                candidacy.leadership.lost.set()
