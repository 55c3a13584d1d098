"""Writes read models: the projector's and the rebuild's side. One writer per process and log, no concurrent calls.

Every write names the checkpoint that it follows, so a repeat changes nothing and a late writer is refused.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from turnlog_events.fold import SessionState
from turnlog_views.functions import library
from turnlog_views.generations import GenerationWriter
from turnlog_views.keys import partition_of
from turnlog_views.link import pack
from turnlog_views.partitions import Applied, Change, Held, Mode, Moved, Outcome, Partition
from turnlog_views.wire import HEAD_FIELDS, Argument, load_arguments, parse_state
from turnlog_views.writer_link import WriterSettings

__all__ = ["Dump", "ViewWriter", "WriterSettings"]


@dataclass(frozen=True, slots=True)
class Dump:
    """One session read back for verification, with its partition's checkpoint and window at that moment."""

    state: SessionState
    checkpoint: int
    window: int


class ViewWriter(GenerationWriter):
    """Writes the read models of one log. All methods raise `ViewsUnavailable` when the server is away (after
    which `open` must be called again) and `ViewsRefused` when it refuses a command."""

    def another(self) -> "ViewWriter":
        """A writer of the same read models with a connection of its own, not open yet."""
        return ViewWriter(self._url, self.log, replace(self.settings))

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
            part.chain,
            change.checkpoint,
            change.chain,
            self.stamp,
            "1" if change.stamp else "",
            part.window or self.settings.window_turns,
            self.settings.idle_ttl_s,
            self.settings.projection_version,
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


def _outcome(change: Change, reply: list[bytes]) -> Outcome:
    if reply[0] == b"held":
        return Held(int(reply[1]))
    if reply[0] != b"ok":
        return Moved(int(reply[1]), int(reply[2] or 0), reply[3].decode())
    identities = list(change.sessions) if len(reply) > 2 else []
    return Applied(int(reply[1]), tuple(identities[int(place) - 1] for place in reply[2:]))


def _dump(reply: list[Any]) -> Dump | None:
    if reply[0] != b"ok":
        return None
    _, _, window, checkpoint = reply[:4]
    head, (turns, nodes) = reply[4 : 4 + HEAD_FIELDS], reply[4 + HEAD_FIELDS :]
    return Dump(parse_state(head, turns, nodes), int(checkpoint or 0), int(window or 0))
