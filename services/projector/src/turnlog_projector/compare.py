"""Holds a generation that is being built to the live one, session by session, each at one position.

Both go on meanwhile. A session whose last event is the same in both must be the same byte for byte; one where it is
not is looked at again later, and at last while live writes are held. Where the new generation is ahead even then, the
live one is held to the session as folded from PostgreSQL up to the live one's position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from turnlog_projector.history import fold_session
from turnlog_projector.ports import History
from turnlog_views.digests import total_digest
from turnlog_views.keys import partition_of
from turnlog_views.wire import state_digest
from turnlog_views.writer import Dump, ViewWriter

_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both generations, each session at the same position. `differing` are sessions whose bytes differ, `missing`
    those that only the live one has (both should be empty); `evicted` counts those that only the new one has."""

    digest: str
    sessions: int
    evicted: int
    differing: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the new generation is byte for byte the live one."""
        return not self.differing and not self.missing


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known so far. `waiting` are sessions that were not at the same position when looked at."""

    new: dict[str, bytes] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)


class Comparing:
    """One comparison under way. Memory: about 300 bytes a session."""

    def __init__(self, history: History, writer: ViewWriter, generation: int, live: Sequence[int]) -> None:
        """`live` is the live generation of each partition."""
        self._history = history
        self._writer, self._generation, self._live = writer, generation, live
        self._seen = _Seen()

    @property
    def waiting(self) -> int:
        """How many sessions were not at the same position yet."""
        return len(self._seen.waiting)

    async def look(self) -> None:
        """Look at every session of both generations."""
        looked: set[str] = set()
        for generation in dict.fromkeys((self._generation, *self._live)):
            async for page in self._writer.identities(generation):
                fresh = [identity for identity in dict.fromkeys(page) if identity not in looked]
                looked.update(fresh)
                await self._settle(self._seen, fresh, final=False)

    async def look_again(self) -> None:
        """Look at those that wait."""
        waiting = sorted(self._seen.waiting)
        self._seen.waiting.clear()
        await self._settle(self._seen, waiting, final=False)

    async def at_last(self) -> Comparison:
        """The outcome, now that the live one stands still and the new one has all that it has: those that wait are
        settled. May be repeated when it did not stand still after all."""
        seen = self._seen
        last = replace(
            seen,
            new=dict(seen.new),
            evicted=set(seen.evicted),
            differing=set(seen.differing),
            missing=set(),
            waiting=set(),
        )
        await self._settle(last, sorted(seen.waiting), final=True)
        return Comparison(
            digest=total_digest(last.new),
            sessions=len(last.new),
            evicted=len(last.evicted),
            differing=tuple(sorted(last.differing)),
            missing=tuple(sorted(last.missing)),
        )

    async def _settle(self, seen: _Seen, identities: Sequence[str], *, final: bool) -> None:
        for at in range(0, len(identities), _AT_ONCE):
            some = identities[at : at + _AT_ONCE]
            generations = [*(self._live[partition_of(i)] for i in some), *([self._generation] * len(some))]
            dumps = await self._writer.dumps(generations, [*some, *some])
            for identity, live, new in zip(some, dumps, dumps[len(some) :], strict=False):
                if new is not None:
                    seen.new[identity] = state_digest(identity, new.state)
                where = await self._judged(identity, live, new, final=final)
                if where:
                    found: set[str] = getattr(seen, where)
                    found.add(identity)

    async def _judged(self, identity: str, live: Dump | None, new: Dump | None, *, final: bool) -> str:
        """To which of `_Seen` a session belongs; empty for one that is as it should be."""
        if new is None:
            return "" if live is None else "missing" if final else "waiting"
        if live is None:
            return "evicted"
        expected = new.state
        if live.state.position != new.state.position:
            if not final:
                return "waiting"
            expected = await fold_session(self._history, identity, live.checkpoint, live.window)
        return "" if state_digest(identity, live.state) == state_digest(identity, expected) else "differing"
