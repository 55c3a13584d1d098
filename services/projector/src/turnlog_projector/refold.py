"""Folds sessions anew from PostgreSQL, each put in place of what Redis has at its partition's checkpoint.

Called by `turnlog rebuild --from`, for the live generation, and when a kept generation, to which another version of
the projection wrote before it was left, is taken up again.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnlog_projector.build import Build, Progress, RebuildOptions
from turnlog_projector.history import fold_session
from turnlog_projector.pace import Pace
from turnlog_projector.ports import Source
from turnlog_views.errors import ViewsError
from turnlog_views.keys import identity_of, partition_of
from turnlog_views.partitions import Partition
from turnlog_views.wire import state_digest
from turnlog_views.writer import Dump, ViewWriter
from turnlog_views.writer_link import live_partitions

_AT_ONCE = 8
_FREE_TRIES = 3
_TRIES = 8


@dataclass(frozen=True, slots=True)
class RefoldReport:
    """Which sessions were made anew: those with events after `after`, up to `position`. `differing` were not what
    the log says before; `absent` were not in Redis."""

    after: int
    position: int
    sessions: int
    absent: int
    differing: tuple[str, ...]
    restless: tuple[str, ...]
    seconds: float


async def refold(
    store: Source,
    writer: ViewWriter,
    after: int,
    *,
    progress: Progress | None = None,
    options: RebuildOptions = RebuildOptions(),
) -> RefoldReport:
    """Make the sessions that have events after a position anew in the live generation, which nobody notices but where
    it was wrong. Needs a writer of its own, which it opens and closes; waits for a rebuild that runs."""
    began = time.perf_counter()
    try:
        async with store.leadership(f"rebuild/{writer.log}"):
            head = await store.head(writer.log)
            await writer.open(head.incarnation, head.epoch)
            identities = await sessions_after(store, writer.log, after, head.position, options.page_events)
            folding = Refolding(store, writer, options, progress)
            await folding.all(identities)
    finally:
        await writer.close()
    return RefoldReport(
        after,
        head.position,
        len(identities),
        folding.absent,
        tuple(sorted(folding.differing)),
        tuple(sorted(folding.restless)),
        time.perf_counter() - began,
    )


async def refold_mixed(store: Source, writer: ViewWriter, build: Build, kept: Sequence[Partition]) -> None:
    """Make anew what another version wrote to a generation before it was left: sessions with events from where that
    version began in their partition."""
    mixed = {p.number: (p.mixed_from, p.checkpoint) for p in kept if p.mixed_from is not None}
    if not mixed or kept[0].projection != writer.settings.projection_version:
        return
    first, last = min(m for m, _ in mixed.values()), max(c for _, c in mixed.values())
    identities = await sessions_after(store, writer.log, first, last, build.options.page_events, mixed)
    folding = Refolding(store, writer, build.options, None, {p.number: p for p in build.partitions})
    await folding.all(identities)
    await writer.unmix(build.generation)


async def sessions_after(
    store: Source, log: str, after: int, up_to: int, page_events: int, partitions: Iterable[int] | None = None
) -> list[str]:
    """The sessions (identities) with events after a position and up to another, in the order first met. Memory: one
    name each."""
    wanted = None if partitions is None else frozenset(partitions)
    found: dict[str, None] = {}
    position = after
    while position < up_to and (page := await store.read_after(log, position, page_events)):
        position = page[-1].position
        for event in page:
            identity = identity_of(event.tenant, event.session_id)
            if wanted is None or partition_of(identity) in wanted:
                found[identity] = None
    return list(found)


class Refolding:
    """Sessions on their way; `differing`, `absent` and `restless` (never stood still) say what was found."""

    def __init__(
        self,
        store: Source,
        writer: ViewWriter,
        options: RebuildOptions,
        progress: Progress | None,
        partitions: dict[int, Partition] | None = None,
    ) -> None:
        """`partitions` of a generation that only the caller moves; without them the live one is written."""
        self._store, self._writer, self._options, self._progress = store, writer, options, progress
        self._own = partitions
        self._pace = Pace(store, writer, options.pace)
        self.differing: set[str] = set()
        self.restless: set[str] = set()
        self.absent = 0

    async def all(self, identities: Sequence[str]) -> None:
        """Every session, some at once."""
        for at in range(0, len(identities), _AT_ONCE):
            waiting = list(identities[at : at + _AT_ONCE])
            for attempt in range(_TRIES):
                if not waiting:
                    break
                waiting = await self._once(waiting, hold=attempt >= _FREE_TRIES)
            self.restless.update(waiting)
            if self._progress:
                self._progress(min(at + _AT_ONCE, len(identities)), len(identities))

    async def _once(self, identities: Sequence[str], *, hold: bool) -> list[str]:
        """Those whose partition moved between the fold and the write. With `hold` live writes wait meanwhile."""
        numbers = sorted({partition_of(identity) for identity in identities})
        if hold:
            await self._writer.hold(numbers, self._options.hold_s)
        try:
            partitions = self._own or await self._live()
            places = [partitions[partition_of(identity)] for identity in identities]
            dumps = await self._writer.dumps([p.generation for p in places], identities)
            moved, events = [], 0
            for identity, place, dump in zip(identities, places, dumps, strict=True):
                window = place.window or self._writer.settings.window_turns
                state = await fold_session(self._store, identity, place.checkpoint, window)
                events += max(state.version, 1)
                if await self._writer.load(place, identity, state):
                    self._judge(identity, place, dump, state_digest(identity, state))
                else:
                    moved.append(identity)
        finally:
            if hold:
                with contextlib.suppress(ViewsError):  # it ends by itself
                    await self._writer.release(numbers)
        await self._pace.passed(events, limited=True)
        return moved

    async def _live(self) -> dict[int, Partition]:
        metas = await self._writer.metas()
        return {p.number: p for p in live_partitions(metas, self._writer.settings.projection_version)}

    def _judge(self, identity: str, place: Partition, dump: Dump | None, digest: bytes) -> None:
        if dump is None:
            self.absent += 1
        elif dump.checkpoint == place.checkpoint and state_digest(identity, dump.state) != digest:
            self.differing.add(identity)
