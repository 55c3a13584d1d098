"""Writes generations: begins one beside the live one, switches to it in all partitions at once, keeps and removes.

The switch is one call over all 256 metas, so it needs them on one server (not spread over a cluster's slots).
"""

from collections.abc import Collection, Iterable, Sequence

from turnlog_views.errors import ViewsRefused, ViewsUnavailable
from turnlog_views.functions import library
from turnlog_views.keys import PARTITIONS, generation_of
from turnlog_views.link import pack
from turnlog_views.partitions import Meta, Partition
from turnlog_views.wire import Argument
from turnlog_views.writer_link import WriterLink


class GenerationWriter(WriterLink):
    """What rebuild, projector and clean-up do to generations as a whole."""

    async def begin(self, generation: int) -> bool:
        """Begin a generation beside the live one, empty, in every partition where it was not begun before. False:
        the live one is as new, or it was begun with another window or by another version."""
        arguments = (generation, self.settings.window_turns, self.settings.projection_version)
        replies = await self._call([self._pack("begin", (n,), *arguments) for n in range(PARTITIONS)])
        return all(reply[0] == b"ok" for reply in replies)

    async def hold(self, partitions: Iterable[int], hold_s: float) -> None:
        """Let live writes to these partitions wait for so long, or until `release`, or until the switch. Ends by
        itself: a holder that dies keeps nobody waiting."""
        await self._call([self._pack("hold", partitions, int(hold_s * 1000))])

    async def release(self, partitions: Iterable[int]) -> None:
        """End a hold."""
        await self._call([self._pack("release", partitions)])

    async def switch(
        self, live: Sequence[Partition], generation: int, keep_s: float, chosen_over: int | None = None
    ) -> list[int]:
        """Make `generation` the live one in all partitions at once, readable on this server; `live` are all of them
        as they are now, and kept for `keep_s`. Answers the numbers of those where it lacks events that the live one
        has shown: nothing was switched then. `chosen_over` is recorded: the projection version over which an operator
        chose it.

        Raises `ViewsRefused` when something is not as the caller believes.
        """
        numbers = [p.number for p in live]
        over = "" if chosen_over is None else chosen_over
        arguments = (generation, self.stamp, int(keep_s * 1000), over, *(p.generation for p in live))
        ((status, *places),) = await self._call([self._pack("switch", numbers, *arguments)])
        if status == b"refused":
            raise ViewsRefused(f"generation {generation} cannot follow in partition {int(places[0]) - 1}")
        return [numbers[int(place) - 1] for place in places]

    async def claim(self, generation: int, keep_s: float) -> bool:
        """Keep a kept generation for `keep_s` more; False when it is not kept everywhere any more."""
        ((status,),) = await self._call([self._pack("claim", range(PARTITIONS), generation, int(keep_s * 1000))])
        return bool(status == b"ok")

    async def unmix(self, generation: int) -> None:
        """A generation that is not live holds only what its own version wrote (again)."""
        ((status,),) = await self._call([self._pack("unmix", range(PARTITIONS), generation)])
        if status == b"refused":
            raise ViewsRefused(f"generation {generation} is live")

    async def restart(self, live: Sequence[Partition], generation: int) -> None:
        """Start over: an empty generation becomes the live one, unreadable until it is stamped."""
        settings = self.settings
        arguments = (settings.window_turns, settings.projection_version, *(p.generation for p in live))
        ((status,),) = await self._call([self._pack("restart", [p.number for p in live], generation, *arguments)])
        if status == b"refused":
            raise ViewsUnavailable("another writer changed the live generation: look again")

    async def remove(self, generation: int, *, expired: bool = False) -> int:
        """Delete a generation that is not live; how many session keys it had. With `expired` one that is kept and has
        not expired stays. After a crash on the way the next call ends what this one began."""
        which = "expired" if expired else "any"
        ((status,),) = await self._call([self._pack("forget", range(PARTITIONS), generation, which)])
        if status == b"refused":
            raise ViewsRefused(f"generation {generation} is live")
        if status == b"kept":
            return 0
        deleted = 0
        async for page in self._scan(self.keys.pattern(generation)):
            deleted += await self._unlink(page)
        await self._call([self._pack("drop", range(PARTITIONS), generation)])
        return deleted

    async def sweep(self, keep: Collection[int]) -> int:
        """Delete every session key of generations other than `keep`, and what partitions know of them; how many keys
        there were. Not while another rebuild runs."""
        doomed = {g for meta in await self.metas() for g in meta.traces} - set(keep)
        deleted = 0
        for generation in sorted(doomed):
            deleted += await self.remove(generation)
        async for page in self._scan(self.keys.pattern("*")):
            deleted += await self._unlink([key for key in page if generation_of(key) not in keep])
        return deleted

    async def _unlink(self, keys: Sequence[bytes]) -> int:
        # One key a command: on a cluster they lie in different slots.
        return sum(await self._call([pack("UNLINK", key) for key in keys])) if keys else 0

    def _pack(self, verb: str, partitions: Iterable[int], *arguments: Argument) -> bytes:
        names = [self.keys.metas[number] for number in partitions]
        return pack("FCALL", library().function(verb), len(names), *names, *arguments)


def kept_generations(metas: Sequence[Meta], now_ms: int) -> dict[int, int]:
    """The generations that are kept everywhere and not expired, with the time until which (ms)."""
    common = set.intersection(*(set(meta.kept_until_ms) & set(meta.generations) for meta in metas))
    until = {g: min(meta.kept_until_ms[g] for meta in metas) for g in common}
    return {g: until_ms for g, until_ms in until.items() if until_ms > now_ms}


def expired_generations(metas: Sequence[Meta], now_ms: int) -> set[int]:
    """The generations that were kept and are not any more in at least one partition."""
    return {g for meta in metas for g, until_ms in meta.kept_until_ms.items() if until_ms <= now_ms and g != meta.live}


def unfinished_generations(metas: Sequence[Meta]) -> dict[int, int]:
    """The generations that are neither live nor kept anywhere, with how far they are (the sum of their checkpoints)."""
    others = {g for meta in metas for g in (meta.live, *meta.kept_until_ms)}
    reached: dict[int, int] = {}
    for meta in metas:
        for generation, partition in meta.generations.items():
            if generation not in others:
                reached[generation] = reached.get(generation, 0) + partition.checkpoint
    return reached


def begun_generations(metas: Sequence[Meta], window: int, projection: int) -> list[int]:
    """Generations that a build began and did not end, with this window and version wherever they were begun; the
    oldest first."""
    begun: dict[int, bool] = {}
    for meta in metas:
        for generation, partition in meta.generations.items():
            if generation > (meta.live or 0) and generation not in meta.kept_until_ms:
                fits = (partition.window, partition.projection) == (window, projection)
                begun[generation] = begun.get(generation, True) and fits and partition.mixed_from is None
    return sorted(generation for generation, fits in begun.items() if fits)
