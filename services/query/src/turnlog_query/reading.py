"""Reads of a session: from Redis when it can answer, else from PostgreSQL; never older than asked for.

Called by the services of each route. Raises `Problem` 404 `session_not_found` and 409
`version_not_reached`, both decided by PostgreSQL, and `StoreUnavailable` when Redis cannot answer and
PostgreSQL is away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from turnlog_events.turn_view import version_of
from turnlog_eventstore import StoreError
from turnlog_query.errors import session_not_found, version_not_reached
from turnlog_query.frame import POSTGRES, REDIS, Frame, Page
from turnlog_query.limits import Limits
from turnlog_query.metrics import AWAY, BEYOND_WINDOW, FRESH, FROM_REDIS, STALE, count_from_postgres
from turnlog_query.ports import EventReads, ViewReads
from turnlog_query.stored import StoredReads, Turn
from turnlog_views import HeadView, SessionView, TurnsView

CONTEXT_PAGE_TURNS = 50


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A client has seen `version` (0: nothing) and gives the read model `wait_ms` to get there. `fresh`: PostgreSQL
    shall answer, so that nothing acknowledged to any client is missing."""

    version: int = 0
    wait_ms: int = 0
    fresh: bool = False


ANY = AtLeast()


@dataclass(frozen=True, slots=True)
class Span:
    """Which turns: the newest `limit` before `before`, or with `after` the first `limit` after it; of one
    agent when `agent_id` is given."""

    limit: int
    after: int | None = None
    before: int | None = None
    agent_id: str | None = None


class _Versioned(Protocol):
    @property
    def version(self) -> int: ...


V = TypeVar("V", bound=_Versioned)


class Reading:
    """Reads of the sessions of one log."""

    def __init__(self, store: EventReads, views: ViewReads | None, log: str, limits: Limits) -> None:
        self._store = store
        self._views = views
        self._log = log
        self._limits = limits
        self._stored = StoredReads(store, limits)

    async def newest(self, tenant: str, session_id: str, limit: int) -> Page:
        """The newest `limit` visible turns: the hot path, one look at Redis."""
        reason = AWAY
        if self._views is not None:
            view = await self._views.turns(tenant, self._log, session_id, limit)
            if view is not None and view.complete:
                FROM_REDIS.inc()
                return Page(view.version, view.revision, view.turns, REDIS)
            reason = self._views.why if view is None else BEYOND_WINDOW
        return await self._stored_page(tenant, session_id, Span(limit), ANY, reason)

    async def turns(self, tenant: str, session_id: str, span: Span, at_least: AtLeast) -> Page:
        """The visible turns of a span, of the session at `at_least.version` or later."""
        reason = AWAY if self._views is None else BEYOND_WINDOW
        if self._views is not None and span.before is None and span.agent_id is None:
            views = self._views
            asked = span.limit if span.after is None else self._limits.page_turns
            view, reason = await self._fresh(
                tenant, session_id, lambda: views.turns(tenant, self._log, session_id, asked), at_least
            )
            if view is not None and (page := _page_of(view, span, asked)) is not None:
                FROM_REDIS.inc()
                return page
        return await self._stored_page(tenant, session_id, span, at_least, FRESH if at_least.fresh else reason)

    async def frame(self, tenant: str, session_id: str, at_least: AtLeast = ANY) -> Frame:
        """The session with the turns of its window."""
        reason = AWAY
        if self._views is not None:
            views = self._views
            view, reason = await self._fresh(
                tenant, session_id, lambda: _frame_view(views, tenant, self._log, session_id), at_least
            )
            if view is not None:
                FROM_REDIS.inc()
                return view
        count_from_postgres(FRESH if at_least.fresh else reason)
        frame = await self._stored.frame(tenant, session_id)
        _check(frame.version, at_least)
        return frame

    async def head(self, tenant: str, session_id: str) -> HeadView | None:
        """The session's head in Redis; None when Redis cannot say."""
        return await self._views.head(tenant, self._log, session_id) if self._views is not None else None

    async def settle(self, tenant: str, session_id: str, position: int, wait_s: float) -> None:
        """Wait until Redis shows the session as of `position`, or cannot say (then PostgreSQL answers reads)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        pause = self._limits.poll_first_s
        while loop.time() < deadline:
            head = await self.head(tenant, session_id)
            if head is None or head.position >= position:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._limits.poll_last_s)

    async def pages_before(
        self, tenant: str, session_id: str, frame: Frame, *, after: int, before: int
    ) -> AsyncIterator[Sequence[Turn]]:
        """All visible turns with after < version < before, the newest page first, each page oldest first.

        PostgreSQL is asked only for what lies below the frame's window.
        """
        window = [turn for turn in frame.window if after < turn[0] < before]
        for end in range(len(window), 0, -CONTEXT_PAGE_TURNS):
            yield window[max(0, end - CONTEXT_PAGE_TURNS) : end]
        below = min(before, frame.window_from)
        async for page in self._stored.pages_before(tenant, session_id, frame, after=after, before=below):
            yield page

    async def _stored_page(self, tenant: str, session_id: str, span: Span, at_least: AtLeast, reason: str) -> Page:
        count_from_postgres(reason)
        frame = await self._stored.frame(tenant, session_id)
        _check(frame.version, at_least)
        if span.after is None:
            turns = await self._stored.newest(
                tenant, session_id, frame, span.limit, before=span.before, agent_id=span.agent_id
            )
        else:
            turns = await self._stored.following(
                tenant,
                session_id,
                frame,
                span.limit,
                after=span.after,
                before=span.before,
                agent_id=span.agent_id,
            )
        return Page(frame.version, frame.revision, [view for _, view in turns], POSTGRES)

    async def _fresh(
        self, tenant: str, session_id: str, read: Callable[[], Awaitable[V | None]], at_least: AtLeast
    ) -> tuple[V | None, str]:
        """What `read` finds in Redis once it is at `at_least.version`; None when PostgreSQL must answer, and why then
        (what is found may still not reach back far enough).

        While Redis is waited for, PostgreSQL is asked whether the version exists at all: that must not wait for a
        PostgreSQL that is away, and what Redis has by then is answered.
        """
        assert self._views is not None
        if at_least.fresh:
            return None, FRESH
        view = await read()
        if view is None:
            return None, self._views.why
        if view.version >= at_least.version:
            return view, BEYOND_WINDOW
        wait_s = min(at_least.wait_ms / 1000, self._limits.wait_max_s)
        if wait_s <= 0:
            return None, STALE
        checking = asyncio.ensure_future(self._check_reached(tenant, session_id, at_least))
        try:
            if not await self._arrives(tenant, session_id, at_least.version, wait_s, checking):
                return None, STALE
        finally:
            checking.add_done_callback(_heard)  # it ends soon by itself; cancelling it would cost a connection
        view = await read()
        if view is None:
            return None, self._views.why
        return (view, BEYOND_WINDOW) if view.version >= at_least.version else (None, STALE)

    async def _arrives(
        self, tenant: str, session_id: str, version: int, wait_s: float, checking: "asyncio.Future[None]"
    ) -> bool:
        """Whether Redis has the version within `wait_s`. Raises what `checking` raises, as soon as it does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        pause = self._limits.poll_first_s
        while (left := deadline - loop.time()) > 0:
            if checking.done():
                checking.result()
                await asyncio.sleep(min(pause, left))
            else:
                await asyncio.wait({checking}, timeout=min(pause, left))
            pause = min(2 * pause, self._limits.poll_last_s)
            head = await self.head(tenant, session_id)
            if head is None:
                return False
            if head.version >= version:
                return True
        return False

    async def _check_reached(self, tenant: str, session_id: str, at_least: AtLeast) -> None:
        """409 when the version was never stored. With PostgreSQL away or slow, only waiting can tell."""
        try:
            async with asyncio.timeout(self._limits.confirm_s):
                version = await self._store.session_version(tenant, session_id)
        except (StoreError, TimeoutError):
            return
        if version == 0:
            raise session_not_found(session_id)
        _check(version, at_least)


def _heard(checking: "asyncio.Future[None]") -> None:
    """Nobody waits for this any more; what it raised was not asked for."""
    if not checking.cancelled():
        checking.exception()


def _check(version: int, at_least: AtLeast) -> None:
    if version < at_least.version:
        raise version_not_reached(version, at_least.version)


def _page_of(view: TurnsView, span: Span, asked: int) -> Page | None:
    """The span's turns when the view (of the newest `asked` turns) surely holds all of them, else None."""
    if span.after is None:
        return Page(view.version, view.revision, view.turns, REDIS) if view.complete else None
    whole_window = len(view.turns) < asked and view.window_from <= span.after + 1
    reaches_back = bool(view.turns) and version_of(view.turns[0]) <= span.after + 1
    if not whole_window and not reaches_back:
        return None
    turns = [turn for turn in view.turns if version_of(turn) > span.after]
    return Page(view.version, view.revision, turns[: span.limit], REDIS)


async def _frame_view(views: ViewReads, tenant: str, log: str, session_id: str) -> Frame | None:
    view = await views.session(tenant, log, session_id)
    return _frame_of(view) if view is not None else None


def _frame_of(view: SessionView) -> Frame:
    state = view.state
    return Frame(
        version=state.version,
        revision=state.revision,
        nodes=state.nodes,
        hidden=state.hidden,
        window=state.turns,
        window_from=view.window_from,
        source=REDIS,
    )
