"""Reads read models: the query service's side.

A read answers None whenever Redis cannot say (away, slow, partition not replayed on this server, session not
there): the caller then reads PostgreSQL. None is never "empty". No method raises for a fault of Redis.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from turnlog_views.answers import HeadView, SessionView, TurnsView, head_answer, session_answer, turns_answer
from turnlog_views.functions import library
from turnlog_views.identity import LogIdentity, stamp_of
from turnlog_views.keys import PARTITIONS, LogKeys, identity_of, partition_of
from turnlog_views.link import pack
from turnlog_views.partitions import FIRST_GENERATION
from turnlog_views.pump import Pump, PumpSettings

_log = structlog.get_logger()

Identities = Callable[[str], Awaitable[LogIdentity]]
"""A log's incarnation and epoch by its name, from PostgreSQL; may raise."""

TURNS_MAX = 10_000
MISS, STALE, AWAY = "miss", "stale", "away"
"""Why a read answered None: the session is not there; its partition may not be read now; Redis did not answer."""
_WHY = {b"miss": MISS, b"stale": STALE, b"absent": STALE}


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Reads of more than `small_turns_max` turns have a connection of their own, so that a session of large turns
    cannot keep others waiting. `ready_timeout_s` is how long `open` waits for the connections."""

    small_turns_max: int = 50
    ready_timeout_s: float = 1.0
    pump: PumpSettings = field(default_factory=PumpSettings)


class _Log:
    """What the reader knows of a log: its keys, the live generation of each partition and PostgreSQL's epoch, as last
    heard. The epoch stands as the end of a stamp (`identity.stamp_of`), so that a read only adds a `run_id`."""

    __slots__ = ("generations", "keys", "stamp_end")

    def __init__(self, log: str, identity: LogIdentity) -> None:
        self.keys = LogKeys(log, identity.incarnation)
        self.stamp_end = stamp_of("", identity.epoch)
        self.generations = [FIRST_GENERATION] * PARTITIONS


class ViewReader:
    """Concurrent reads over a few connections; made by `open`, ended by `close`."""

    def __init__(self, url: str, identities: Identities, settings: ReaderSettings) -> None:
        self._identities = identities
        self._settings = settings
        self._logs: dict[str, _Log] = {}
        self._small, self._large = Pump(url, settings.pump), Pump(url, settings.pump)
        self._pumps = (self._small, self._large)
        self._tasks = [asyncio.create_task(pump.run(), name="views-pump") for pump in self._pumps]
        self.why = AWAY
        """Why the read that answered None last did so: to be looked at before anything else is awaited."""
        self._names = {verb: library().function(verb) for verb in ("head", "turns", "session")}

    @classmethod
    async def open(cls, url: str, identities: Identities, settings: ReaderSettings = ReaderSettings()) -> "ViewReader":
        """A reader. Waits for a connection for `ready_timeout_s` at most: a server that is away is no error."""
        reader = cls(url, identities, settings)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.ready_timeout_s):
                await asyncio.gather(*(pump.ready.wait() for pump in reader._pumps))
        return reader

    async def close(self) -> None:
        """End the connections; reads that wait answer None."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_ready(self) -> bool:
        """Whether the connection for small reads stands."""
        return self._small.ready.is_set()

    def saw(self, log: str, incarnation: str, epoch: str) -> None:
        """What PostgreSQL says of the log now; reads that begin from now on go by it. Cheap: call it each second.

        After another epoch was seen, reads answer None until the projector has held the read models to the log
        again. While PostgreSQL is away nothing is seen, and reads go on by what was last known.
        """
        known = self._logs.get(log)
        if known is None or known.keys.incarnation != incarnation:
            self._logs[log] = _Log(log, LogIdentity(incarnation, epoch))
        else:
            known.stamp_end = stamp_of("", epoch)

    def forget(self, log: str) -> None:
        """Ask for the log's identity again at the next read."""
        self._logs.pop(log, None)

    async def turns(self, tenant: str, log: str, session_id: str, limit: int) -> TurnsView | None:
        """The newest `limit` visible turns (1..10,000; the window bounds them), or None: ask PostgreSQL."""
        limit = max(1, min(limit, TURNS_MAX))
        pump = self._small if limit <= self._settings.small_turns_max else self._large
        reply = await self._read(pump, "turns", 3, log, identity_of(tenant, session_id), (limit,))
        return turns_answer(reply, limit) if reply is not None else None

    async def session(self, tenant: str, log: str, session_id: str) -> SessionView | None:
        """Head, turns of the window and summaries at one moment, or None: ask PostgreSQL."""
        reply = await self._read(self._large, "session", 4, log, identity_of(tenant, session_id))
        return session_answer(reply) if reply is not None else None

    async def head(self, tenant: str, log: str, session_id: str) -> HeadView | None:
        """The head alone, or None: ask PostgreSQL."""
        reply = await self._read(self._small, "head", 2, log, identity_of(tenant, session_id))
        return head_answer(reply) if reply is not None else None

    async def _read(
        self, pump: Pump, verb: str, keys: int, log: str, identity: str, more: tuple[int, ...] = ()
    ) -> list[Any] | None:
        known = self._logs.get(log) or await self._learn(log)
        if known is None:
            self.why = AWAY
            return None
        partition = partition_of(identity)
        for _ in range(2):  # once more when the generation was another
            generation = known.generations[partition]
            names = (known.keys.metas[partition], *known.keys.session(partition, generation, identity))[:keys]
            stamp = pump.run_id + known.stamp_end
            packed = pack("FCALL_RO", self._names[verb], keys, *names, generation, stamp, identity, *more)
            future = pump.submit(packed)
            reply = await future if future is not None else None
            if reply is None:
                self.why = AWAY
                return None
            if reply[0] == b"ok":
                return self._checked(pump, reply, identity)
            if reply[0] != b"generation":
                self.why = _WHY.get(reply[0], STALE)
                return None
            known.generations[partition] = int(reply[1])
        self.why = STALE
        return None

    def _checked(self, pump: Pump, reply: list[Any], identity: str) -> list[Any] | None:
        if reply[1] == identity.encode():
            return reply
        _log.error("views_reply_of_another_session")
        pump.drop()
        self.why = AWAY
        return None

    async def _learn(self, log: str) -> _Log | None:
        try:
            identity = await self._identities(log)
        except Exception as error:  # whatever the resolver's store raises: without it there is no key to read
            _log.warning("views_log_unknown", log=log, error=str(error))
            return None
        return self._logs.setdefault(log, _Log(log, identity))  # what was seen meanwhile is newer
