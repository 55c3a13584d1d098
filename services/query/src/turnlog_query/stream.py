"""GET …/events: a session's events as they happen, resumable from any version.

First what PostgreSQL has after the client's last id, then what the hub hands on. Ids are versions; an event
that is no turn carries the version of the turn before it, so a client that resumes gets every turn once and
may get such an event again. Retracted turns are not sent again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from heapq import merge

import orjson

from turnlog_events import event as ev
from turnlog_events.event import Event, rfc3339
from turnlog_events.turn_view import view_of
from turnlog_events.upcast import payload_of
from turnlog_query.coverage import LINEAGE
from turnlog_query.deps import QueryDeps
from turnlog_query.errors import RETRY_AFTER_S, session_not_found, version_not_reached
from turnlog_query.hub import Subscription
from turnlog_query.metrics import STREAMS, STREAMS_CUT
from turnlog_runtime.problems import Problem

HUB_WAIT_S = 5.0
OPENING = b"retry: 1000\n\n"
HEARTBEAT = b": ping\n\n"


class SessionStream:
    """One client's stream. `open` says what is wrong before anything is sent; `chunks` is what to send."""

    def __init__(self, deps: QueryDeps, tenant: str, session_id: str, after: int) -> None:
        self._deps = deps
        self._tenant = tenant
        self._session_id = session_id
        self._log = deps.log
        self._version = after
        self._mark_position = 0
        self._hidden: list[tuple[int, int]] = []

    async def open(self) -> None:
        """Raises 404 `session_not_found`, 409 `version_not_reached`, or 503 when the process has streams
        enough."""
        if not self._deps.hubs.room_for(self._tenant, self._deps.limits.streams_max):
            message = "no more live streams here; close some, or try again"
            raise Problem(503, "too_many_streams", message, retry_after_s=RETRY_AFTER_S)
        self._log = await self._deps.log_of(self._tenant)
        version = await self._deps.store.session_version(self._tenant, self._session_id)
        if version == 0:
            raise session_not_found(self._session_id)
        if version < self._version:
            raise version_not_reached(version, self._version)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Bytes to send, until the process stops or the client is cut. Raises `StoreError` when PostgreSQL
        goes away while the past is read: the client resumes."""
        yield OPENING
        hub = self._deps.hubs.of(self._log)
        with hub.subscribe(self._tenant, self._session_id) as subscription, STREAMS.track_inprogress():
            async with asyncio.timeout(HUB_WAIT_S):
                await hub.following.wait()
            async for chunk in self._past():
                yield chunk
            async for chunk in self._live(subscription):
                yield chunk
            if subscription.cut:
                STREAMS_CUT.inc()
                last = {"last_id": self._version, "reason": "the client did not keep up; resume from last_id"}
                yield _message("cut", self._version, orjson.dumps(last))

    async def _past(self) -> AsyncIterator[bytes]:
        """What PostgreSQL has after the client's version. The marks are read first: later ones come live."""
        store, session = self._deps.store, (self._tenant, self._session_id)
        marks = await store.marks(*session)
        self._hidden = [_range(mark) for mark in marks if mark.type == ev.TURNS_RETRACTED]
        self._mark_position = marks[-1].position if marks else 0
        start = await self._position_of(self._version)
        marks = [mark for mark in marks if mark.position > start]
        page_turns = self._deps.limits.page_turns
        while True:
            turns = await store.turns(*session, limit=page_turns, after_version=self._version, newest_first=False)
            full = len(turns) == page_turns
            due = [mark for mark in marks if not full or mark.position < turns[-1].position]
            marks = marks[len(due) :]
            if data := b"".join(map(self._rendered, merge(turns, due, key=_position))):
                yield data
            if not full:
                return

    async def _position_of(self, version: int) -> int:
        if version == 0:
            return 0
        turns = await self._deps.store.turns(
            self._tenant, self._session_id, limit=1, after_version=version - 1, before_version=version + 1
        )
        return turns[0].position if turns else 0

    async def _live(self, subscription: Subscription) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._deps.limits.stream_heartbeat_s):
                    event = await subscription.next()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if event is None:
                return
            if self._is_new(event) and (data := self._rendered(event)):
                yield data

    def _is_new(self, event: Event) -> bool:
        """Whether the past did not hold it."""
        if event.version is not None:
            return event.version > self._version
        return event.position > self._mark_position

    def _rendered(self, event: Event) -> bytes:
        """The event as sent; nothing for a retracted turn and for events that clients do not see."""
        if event.version is not None:
            self._version = event.version
            if any(start <= event.version <= end for start, end in self._hidden):
                return b""
            return _message("turn", event.version, view_of(event))
        if event.type == ev.TURNS_RETRACTED:
            start, end = _range(event)
            data = {"from_version": start, "to_version": end}
            return _message("retracted", self._version, _about(event, data))
        if event.type == ev.SUMMARIZED:
            payload = payload_of(event)
            data = {name: payload[name] for name in (*LINEAGE, "text") if name in payload}
            return _message("summarized", self._version, _about(event, data))
        return b""


def _range(event: Event) -> tuple[int, int]:
    payload = payload_of(event)
    return payload["from_version"], payload["to_version"]


def _about(event: Event, data: Mapping[str, object]) -> bytes:
    at = rfc3339(event.recorded_at_us)
    return orjson.dumps({"event_id": event.event_id, "position": event.position, "recorded_at": at, **data})


def _message(name: str, version: int, data: bytes) -> bytes:
    """One server-sent event. JSON holds no line feed, so the data is one line."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (version, name.encode(), data)


def _position(event: Event) -> int:
    return event.position
