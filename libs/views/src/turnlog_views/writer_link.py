"""What every writer stands on: one connection to the server, the keys of its log, and the metas of all partitions.

Errors that pass by themselves (the server is loading, out of memory, a replica …) are told from those that do not.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from turnlog_events.fold import RECENT_TURNS
from turnlog_views.errors import ViewsRefused, ViewsUnavailable
from turnlog_views.identity import stamp_of
from turnlog_views.keys import LogKeys
from turnlog_views.link import Link, pack
from turnlog_views.partitions import FIRST_GENERATION, Meta, Partition
from turnlog_views.projections import SESSIONS

_TRANSIENT = ("LOADING", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "OOM", "NOREPLICAS", "MISCONF")
_SCAN_COUNT = 500


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """`window_turns` and `projection_version` are recorded in generations that begin now; one that stands keeps the
    window it began with. `idle_ttl_s` 0 keeps sessions for ever."""

    window_turns: int = RECENT_TURNS
    idle_ttl_s: int = 0
    deadline_s: float = 10.0
    connect_timeout_s: float = 2.0
    projection_version: int = SESSIONS.version


class WriterLink:
    """A writer's connection and what it reads of all partitions. One caller at a time."""

    def __init__(self, url: str, log: str, settings: WriterSettings = WriterSettings()) -> None:
        self.log = log
        self.settings = settings
        self.keys = LogKeys(log, "")
        self._url = url
        self._epoch = ""
        self.looked_at_ms = 0
        """When `metas` was last asked, by the server's time: by that holds end and kept generations expire."""
        self._link = Link(url, settings.connect_timeout_s)

    @property
    def stamp(self) -> str:
        """What marks a partition as complete on the present server, held to the PostgreSQL of the present epoch."""
        return stamp_of(self._link.run_id, self._epoch)

    def readable(self, partition: Partition) -> bool:
        """Whether readers of these servers may read the partition."""
        return partition.stamp == self.stamp

    async def open(self, incarnation: str, epoch: str) -> None:
        """Connect (again), to write the read models of this incarnation of the log, held to the PostgreSQL of this
        epoch."""
        self.keys, self._epoch = LogKeys(self.log, incarnation), epoch
        await self._link.open()

    async def close(self) -> None:
        """Drop the connection."""
        await self._link.close()

    async def metas(self) -> list[Meta]:
        """What all 256 metas say, in order."""
        looks = [pack("HGETALL", key) for key in self.keys.metas]
        *replies, (seconds, micros) = await self._call([*looks, pack("TIME")])
        self.looked_at_ms = int(seconds) * 1000 + int(micros) // 1000
        hashes = [dict(zip(r[::2], r[1::2], strict=True)) for r in replies]
        return [Meta.parsed(number, fields) for number, fields in enumerate(hashes)]

    async def partitions(self) -> list[Partition]:
        """The live generation of all 256, in order. One without meta is at checkpoint 0 of the generation that the
        others are in."""
        return live_partitions(await self.metas(), self.settings.projection_version)

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        cursor: Any = b"0"
        while True:
            scan = pack("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            ((cursor, page),) = await self._call([scan])
            if page:
                yield page
            if cursor == b"0":
                return

    async def _call(self, packed: Sequence[bytes]) -> list[Any]:
        replies = await self._link.call(packed, self.settings.deadline_s)
        for reply in replies:
            if isinstance(reply, ResponseError):
                await self._link.close()
                text = str(reply)
                # Error classes of redis-py keep only the text behind some codes: ask the type's name as well.
                if text.startswith(_TRANSIENT) or type(reply) is not ResponseError:
                    raise ViewsUnavailable(text)
                raise ViewsRefused(text)
        return replies


def live_partitions(metas: Sequence[Meta], projection_version: int) -> list[Partition]:
    """The live generation of each partition; where there is none, as it will begin."""
    live = max((meta.live for meta in metas if meta.live is not None), default=FIRST_GENERATION)
    begins = [Partition(m.number, generation=live, traces=m.traces, projection=projection_version) for m in metas]
    return [meta.live_partition or begin for meta, begin in zip(metas, begins, strict=True)]
