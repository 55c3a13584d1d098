"""Writes read models: the projector's and the rebuild's side. One writer per process and log, no concurrent calls.

Every write names the checkpoint that it follows, so a repeat changes nothing and a late writer is refused.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from turnlog_events.fold import RECENT_TURNS, SessionState
from turnlog_views.errors import ViewsRefused, ViewsUnavailable
from turnlog_views.functions import library
from turnlog_views.keys import PARTITIONS, LogKeys, generation_of, partition_of
from turnlog_views.link import Link, pack
from turnlog_views.partitions import (
    FIRST_GENERATION,
    Applied,
    Change,
    Mode,
    Moved,
    Outcome,
    Partition,
    generations_in,
)
from turnlog_views.wire import HEAD_FIELDS, Argument, load_arguments, parse_state

_TRANSIENT = ("LOADING", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "OOM", "NOREPLICAS", "MISCONF")
_SCAN_COUNT = 500


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """`window_turns` is used for generations that begin now; one that stands keeps the window it began with.
    `idle_ttl_s` 0 keeps sessions for ever."""

    window_turns: int = RECENT_TURNS
    idle_ttl_s: int = 0
    deadline_s: float = 10.0
    connect_timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Dump:
    """One session read back for verification, with its partition's checkpoint and window at that moment."""

    state: SessionState
    checkpoint: int
    window: int


class ViewWriter:
    """Writes the read models of one log. All methods raise `ViewsUnavailable` when the server is away (after
    which `open` must be called again) and `ViewsRefused` when it refuses a command."""

    def __init__(self, url: str, log: str, settings: WriterSettings = WriterSettings()) -> None:
        self.log = log
        self.settings = settings
        self.keys = LogKeys(log, "")
        self._link = Link(url, settings.connect_timeout_s)

    @property
    def run_id(self) -> str:
        """That of the server behind the present connection."""
        return self._link.run_id

    async def open(self, incarnation: str) -> None:
        """Connect (again), to write the read models of this incarnation of the log."""
        self.keys = LogKeys(self.log, incarnation)
        await self._link.open()

    async def close(self) -> None:
        """Drop the connection."""
        await self._link.close()

    async def partitions(self) -> list[Partition]:
        """All 256, in order. One without meta is at checkpoint 0 of the generation that the others are in."""
        metas = await self._metas()
        found = [Partition.from_meta(number, meta) for number, meta in enumerate(metas)]
        live = max((p.generation for p in found if p), default=FIRST_GENERATION)
        return [
            p or Partition(n, generation=live, traces=generations_in(meta))
            for n, (p, meta) in enumerate(zip(found, metas, strict=True))
        ]

    async def _metas(self) -> list[dict[bytes, bytes]]:
        replies = await self._call([pack("HGETALL", key) for key in self.keys.metas])
        return [dict(zip(r[::2], r[1::2], strict=True)) for r in replies]

    async def apply(self, changes: Sequence[Change], mode: Mode = Mode.LIVE) -> list[Outcome]:
        """Apply changes of different partitions, each wholly or not at all; their outcomes in order."""
        replies = await self._call([self._pack_change(change, mode) for change in changes])
        return [_outcome(change, reply) for change, reply in zip(changes, replies, strict=True)]

    def _pack_change(self, change: Change, mode: Mode) -> bytes:
        part = change.partition
        names: list[Argument] = [self.keys.metas[part.number]]
        arguments: list[Argument] = [
            part.generation,
            mode.value,
            part.checkpoint,
            change.checkpoint,
            self.run_id if change.stamp else "",
            part.window or self.settings.window_turns,
            self.settings.idle_ttl_s,
        ]
        for identity, effects in change.sessions.items():
            names += self.keys.session(part.number, part.generation, identity)
            arguments += (identity, effects.count, len(effects.arguments))
            arguments += effects.arguments
        return pack("FCALL", library().function("apply"), len(names), *names, *arguments)

    async def load(self, partition: Partition, identity: str, state: SessionState) -> bool:
        """Write a session whole, as folded up to the partition's checkpoint. False: the checkpoint has moved."""
        names = self.keys.session(partition.number, partition.generation, identity)
        head: tuple[Argument, ...] = (partition.generation, partition.checkpoint, self.settings.idle_ttl_s)
        meta = self.keys.metas[partition.number]
        arguments = (*head, *load_arguments(identity, state))
        (reply,) = await self._call([pack("FCALL", library().function("load"), 4, meta, *names, *arguments)])
        return bool(reply[0] == b"ok")

    async def dumps(self, generations: Sequence[int], identities: Sequence[str]) -> list[Dump | None]:
        """Sessions read back whole, each at one moment; None for one that is not there or not whole."""
        packed = []
        for generation, identity in zip(generations, identities, strict=True):
            number = partition_of(identity)
            names = self.keys.session(number, generation, identity)
            packed.append(
                pack(
                    "FCALL_RO", library().function("dump"), 4, self.keys.metas[number], *names, generation, "", identity
                )
            )
        return [_dump(reply) for reply in await self._call(packed)]

    async def identities(self, generation: int) -> AsyncIterator[list[str]]:
        """Every session of a generation, in pages and no order; SCAN may name one more than once."""
        prefix = f":{generation}:h:"
        async for page in self._scan(self.keys.pattern(generation, "h")):
            names = [key.decode() for key in page]
            yield [name[name.index(prefix) + len(prefix) :] for name in names]

    async def begin(self, generation: int) -> None:
        """Begin a generation beside the live one, empty, in every partition."""
        await self._each("begin", [(generation, self.settings.window_turns)] * PARTITIONS)

    async def switch(self, partitions: Iterable[Partition], generation: int) -> list[Partition]:
        """Make `generation` the live one where it is not behind. Answers the partitions where it was."""
        wanted = list(partitions)
        replies = await self._call(
            [self._pack_generation("switch", p.number, (p.generation, generation, self.run_id)) for p in wanted]
        )
        refused = [p for p, reply in zip(wanted, replies, strict=True) if reply[0] == b"refused"]
        if refused:
            raise ViewsRefused(f"generation {generation} cannot follow in {len(refused)} partitions: another rebuild?")
        return [p for p, reply in zip(wanted, replies, strict=True) if reply[0] == b"behind"]

    async def restart(self, partitions: Iterable[Partition], generation: int) -> None:
        """Start over: an empty generation becomes the live one, unreadable until it is stamped."""
        window = self.settings.window_turns
        replies = await self._call(
            [self._pack_generation("restart", p.number, (p.generation, generation, window)) for p in partitions]
        )
        if any(reply[0] == b"refused" for reply in replies):
            raise ViewsUnavailable("another writer changed the live generation: look again")

    async def sweep(self, keep: Collection[int]) -> int:
        """Delete every session key of generations other than `keep`, and what their partitions know of them; how
        many keys there were. Not while another rebuild runs."""
        partitions = await self.partitions()
        await self._call(
            [self._pack_generation("drop", p.number, (g,)) for p in partitions for g in p.traces if g not in keep]
        )
        deleted = 0
        async for page in self._scan(self.keys.pattern("*")):
            doomed = [key for key in page if generation_of(key) not in keep]
            # One key a command: on a cluster they lie in different slots.
            deleted += sum(await self._call([pack("UNLINK", key) for key in doomed]))
        return deleted

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        cursor: Any = b"0"
        while True:
            scan = pack("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            ((cursor, page),) = await self._call([scan])
            if page:
                yield page
            if cursor == b"0":
                return

    async def _each(self, verb: str, arguments: Sequence[tuple[Argument, ...]]) -> None:
        replies = await self._call([self._pack_generation(verb, n, args) for n, args in enumerate(arguments)])
        if any(reply[0] == b"refused" for reply in replies):
            raise ViewsRefused(f"{verb} {arguments[0][0]!r}: it is, or is older than, the live generation")

    def _pack_generation(self, verb: str, number: int, arguments: tuple[Argument, ...]) -> bytes:
        return pack("FCALL", library().function(verb), 1, self.keys.metas[number], *arguments)

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


def _outcome(change: Change, reply: list[bytes]) -> Outcome:
    if reply[0] != b"ok":
        return Moved(int(reply[1]), int(reply[2] or 0))
    identities = list(change.sessions) if len(reply) > 2 else []
    return Applied(int(reply[1]), tuple(identities[int(place) - 1] for place in reply[2:]))


def _dump(reply: list[Any]) -> Dump | None:
    if reply[0] != b"ok":
        return None
    _, _, window, checkpoint = reply[:4]
    head, (turns, nodes) = reply[4 : 4 + HEAD_FIELDS], reply[4 + HEAD_FIELDS :]
    return Dump(parse_state(head, turns, nodes), int(checkpoint or 0), int(window or 0))
