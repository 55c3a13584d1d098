"""Reads of one session from PostgreSQL, in the very bytes that Redis would have given.

Each read asks for the session's marks (retractions, summaries) first, then for its version, then for turns
up to that version: so no mark is newer than the version it is shown with, and every answer is a state the
session once had. Called when Redis cannot answer. Every method raises `StoreUnavailable`.
"""

from collections.abc import AsyncIterator
from heapq import merge

from turnlog_events.event import Event
from turnlog_events.fold import SessionState, fold
from turnlog_events.turn_view import view_of
from turnlog_query.errors import session_not_found
from turnlog_query.frame import POSTGRES, Frame
from turnlog_query.limits import Limits
from turnlog_query.ports import EventReads

Turn = tuple[int, bytes]


class StoredReads:
    """Reads of sessions of any tenant from the event log."""

    def __init__(self, store: EventReads, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def frame(self, tenant: str, session_id: str) -> Frame:
        """The session without its turns. Raises 404 `session_not_found`."""
        state = fold(await self._store.marks(tenant, session_id))
        version = await self._store.session_version(tenant, session_id)
        if version == 0:
            raise session_not_found(session_id)
        return Frame(
            version=version,
            revision=state.revision,
            nodes=state.nodes,
            hidden=state.hidden,
            window=(),
            window_from=version + 1,
            source=POSTGRES,
        )

    async def newest(
        self,
        tenant: str,
        session_id: str,
        frame: Frame,
        limit: int,
        *,
        after: int = 0,
        before: int | None = None,
        agent_id: str | None = None,
    ) -> list[Turn]:
        """The newest `limit` visible turns with after < version < before, oldest first."""
        before = frame.version + 1 if before is None else min(before, frame.version + 1)
        found: list[Turn] = []
        for _ in range(self._limits.pages_max):
            asked = max(limit - len(found), min(limit, self._limits.page_turns))
            before = frame.before_hidden(before)
            events = await self._store.turns(
                tenant, session_id, limit=asked, after_version=after, before_version=before, agent_id=agent_id
            )
            found = visible(frame, events) + found
            if len(events) < asked or len(found) >= limit:
                break
            before = events[0].version or 0
        return found[-limit:]

    async def following(
        self,
        tenant: str,
        session_id: str,
        frame: Frame,
        limit: int,
        *,
        after: int,
        before: int | None = None,
        agent_id: str | None = None,
    ) -> list[Turn]:
        """The first `limit` visible turns with after < version < before, oldest first."""
        before = frame.version + 1 if before is None else min(before, frame.version + 1)
        found: list[Turn] = []
        for _ in range(self._limits.pages_max):
            asked = max(limit - len(found), min(limit, self._limits.page_turns))
            after = frame.after_hidden(after)
            events = await self._store.turns(
                tenant,
                session_id,
                limit=asked,
                after_version=after,
                before_version=before,
                newest_first=False,
                agent_id=agent_id,
            )
            found += visible(frame, events)
            if len(events) < asked or len(found) >= limit:
                break
            after = events[-1].version or after
        return found[:limit]

    async def pages_before(
        self, tenant: str, session_id: str, frame: Frame, *, after: int, before: int
    ) -> AsyncIterator[list[Turn]]:
        """All visible turns with after < version < before, the newest page first, each page oldest first."""
        while before > after + 1:
            events = await self._store.turns(
                tenant,
                session_id,
                limit=self._limits.page_turns,
                after_version=after,
                before_version=before,
            )
            if not events:
                return
            yield visible(frame, events)
            before = events[0].version or 0

    async def state(self, tenant: str, session_id: str) -> SessionState | None:
        """The session folded from all its events; None when it has more turns than the limit.

        Raises 404 `session_not_found`.
        """
        marks = await self._store.marks(tenant, session_id)
        version = await self._store.session_version(tenant, session_id)
        if version == 0:
            raise session_not_found(session_id)
        if version > self._limits.head_turns_max:
            return None
        state = SessionState()
        after = 0
        while after < version:
            events = await self._store.turns(
                tenant,
                session_id,
                limit=self._limits.page_turns,
                after_version=after,
                before_version=version + 1,
                newest_first=False,
            )
            if not events:
                break
            page_end = events[-1].position
            due = [mark for mark in marks if mark.position < page_end]
            marks = marks[len(due) :]
            state = fold(merge(events, due, key=_position), state, window=1)
            after = events[-1].version or version
        return fold(marks, state, window=1)


def visible(frame: Frame, events: list[Event]) -> list[Turn]:
    """The turns that are not retracted, as served."""
    return [
        (event.version, view_of(event))
        for event in events
        if event.version is not None and not frame.hides(event.version)
    ]


def _position(event: Event) -> int:
    return event.position
