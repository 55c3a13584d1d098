"""The write side of the API: parsed requests → append requests → answers. HTTP lives in `app.py`.

Each function validates everything first, so that a request is stored whole or not at all, and names the field that is
wrong.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from turnlog_events.canonical import canonical
from turnlog_events.errors import InvalidField
from turnlog_events.event import COMPRESSION_REQUESTED, TURNS_RETRACTED, Event, NewEvent, rfc3339
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import agent_session, checked_session_id, new_id
from turnlog_events.payloads import CompressionRequested, TurnsRetracted
from turnlog_events.strict_json import parse
from turnlog_eventstore import AppendRequest, Placed, Rejected, Store, Stored, StoreUnavailable
from turnlog_ingest.log_writers import LogWriter, LogWriters
from turnlog_ingest.reading_lane import LARGE_BYTES, STEP_TURNS, ReadingLane
from turnlog_ingest.tool_body import memory_turn
from turnlog_ingest.turn_body import placed_json, turn_event
from turnlog_runtime.charges import TURNS, Charge, free
from turnlog_runtime.log_context import note
from turnlog_runtime.problems import Problem
from turnlog_runtime.settings import TURNS_PER_REQUEST

CONFLICT = "turn_id_conflict"
_IF_MATCH = re.compile(r'(?:W/)?"v(\d{1,18})(?:\.s\d+)?"')
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class WriteHeaders:
    """What of a write stands in headers: `Idempotency-Key`, `If-Match`, `traceparent`."""

    idempotency_key: str | None = None
    if_match: str | None = None
    traceparent: str | None = None

    def expected_version(self) -> int | None:
        """The version that `If-Match: "v12"` (or a read's ETag `"v12.s3"`) asks for. Raises `InvalidField`."""
        if self.if_match is None:
            return None
        match = _IF_MATCH.fullmatch(self.if_match.strip())
        if match is None:
            raise InvalidField("If-Match", 'must be "v<version>", e.g. "v12"', "invalid_if_match")
        return int(match[1])

    def trace(self) -> str | None:
        """The trace context to keep with the events; a malformed one is ignored, as its specification says."""
        given = self.traceparent
        return given if given is not None and _TRACEPARENT.fullmatch(given) else None


class Writes:
    """Stores turns, retractions and compression requests through the group commit of the tenant's log."""

    def __init__(self, writers: LogWriters, store: Store, deadline_s: float) -> None:
        """`deadline_s` is the longest that one write may take in all."""
        self._writers, self._store, self._deadline_s = writers, store, deadline_s
        self.lane = ReadingLane()

    async def store_turns(
        self, tenant: str, session_id: str, body: bytes, headers: WriteHeaders, charge: Charge = free
    ) -> bytes:
        """Store one turn, or `{"turns": […]}`, in a session whose id the caller has checked; the answer's JSON. The
        first turn is charged before this is called, so that a body beyond the limits is not even read; the others here,
        duplicates among them."""
        if len(body) > LARGE_BYTES:
            await self.lane.step(tenant)
        raw = parse(body)
        session_id = checked_session_id(session_id)
        many = isinstance(raw, dict) and "turns" in raw
        if many:
            turns = _turn_list(raw)
            if len(turns) > 1:
                await charge(TURNS, len(turns) - 1)
            events = await self._turn_events(tenant, session_id, turns, headers)
        else:
            events = (turn_event(tenant, session_id, raw, headers.idempotency_key, trace=headers.trace()),)
        placed = await self.append(AppendRequest(events, headers.expected_version()))
        answers = [_placed(place) for place in placed]
        return b'{"turns":[' + b",".join(answers) + b"]}" if many else answers[0]

    async def _turn_events(
        self, tenant: str, session_id: str, turns: list[object], headers: WriteHeaders
    ) -> tuple[NewEvent, ...]:
        key, trace = headers.idempotency_key, headers.trace()
        events: list[NewEvent] = []
        for number, turn in enumerate(turns, 1):
            if number % STEP_TURNS == 0:
                await self.lane.step(tenant)
            own_key = f"{key}#{number}" if key else None
            events.append(turn_event(tenant, session_id, turn, own_key, f"turns.{number - 1}", trace))
        _once_each(events)
        return tuple(events)

    async def retract(
        self,
        tenant: str,
        session_id: str,
        from_version: int,
        to_version: int,
        reason: str | None,
        headers: WriteHeaders,
    ) -> bytes:
        """Hide versions from..to from every read model; the history keeps them."""
        session_id = checked_session_id(session_id)
        if to_version < from_version:
            raise InvalidField("to_version", "must not be less than from_version")
        retraction = TurnsRetracted(from_version, to_version, reason)
        name = headers.idempotency_key or new_id()
        event = _own_event(tenant, session_id, TURNS_RETRACTED, f"retract/{name}", retraction.to_json(), headers)
        deadline = time.monotonic() + self._deadline_s
        await self._require_version(tenant, session_id, to_version)
        placed = (await self.append(AppendRequest((event,), headers.expected_version()), deadline))[0]
        return orjson.dumps(
            {
                "session_id": session_id,
                "from_version": from_version,
                "to_version": to_version,
                "log": placed.log,
                "position": placed.position,
                "recorded_at": rfc3339(placed.recorded_at_us),
                "duplicate": placed.duplicate,
            }
        )

    async def request_compression(self, tenant: str, session_id: str, headers: WriteHeaders) -> bytes:
        """Ask for the session to be compressed up to its version now; the task's id. Asked again with the same
        `Idempotency-Key`, it is the task of the first time, also when the session has grown since."""
        session_id = checked_session_id(session_id)
        deadline = time.monotonic() + self._deadline_s
        version = await self._require_version(tenant, session_id, 1)
        task = CompressionRequested(headers.idempotency_key or new_id(), version)
        event = _own_event(
            tenant, session_id, COMPRESSION_REQUESTED, task.key, task.to_json(), headers, correlation_id=task.task_id
        )
        found: Placed | Event | None = None
        try:
            found = (await self.append(AppendRequest((event,)), deadline))[0]
        except Problem as problem:
            if problem.code == CONFLICT:
                found = await self._asked_before(event, task.task_id)
            if found is None:
                raise
        return orjson.dumps({"task_id": task.task_id, "log": found.log, "position": found.position})

    async def _asked_before(self, event: NewEvent, task_id: str) -> Event | None:
        """The request for compression that stands under the event's key, up to the version of then."""
        events = await self._store.task_events(event.tenant, task_id)
        return next((e for e in events if (e.session_id, e.key) == (event.session_id, event.key)), None)

    async def store_memory(self, tenant: str, body: bytes, headers: WriteHeaders) -> bytes:
        """The prototype's `store_memory` tool: a turn in the agent's own session unless one is named."""
        session_id, turn = memory_turn(parse(body))
        session_id = agent_session(turn["agent_id"]) if session_id is None else checked_session_id(session_id)
        event = turn_event(tenant, session_id, turn, headers.idempotency_key, trace=headers.trace())
        placed = (await self.append(AppendRequest((event,))))[0]
        return orjson.dumps(
            {
                "memory_id": placed.key,
                "stored": True,
                "session_id": session_id,
                "version": placed.version,
                "position": placed.position,
                "duplicate": placed.duplicate,
            }
        )

    async def writer_of(self, tenant: str) -> LogWriter:
        """The writer of the tenant's log."""
        return self._writers.known(tenant) or await self._writers.find(tenant)

    async def moved(self, tenant: str) -> LogWriter:
        """The writer of the tenant's log, asked for anew: the one thought to be its own refused it."""
        return await self._writers.moved(tenant)

    async def append(self, request: AppendRequest, deadline: float | None = None) -> tuple[Placed, ...]:
        """Store a request by the next group commit, until `deadline` (of the monotonic clock; default: the longest a
        write may take). Raises `Fenced`, `Problem` 409/412, or the store's errors."""
        tenant = request.events[0].tenant
        ends_at = time.monotonic() + self._deadline_s if deadline is None else deadline
        writer = self._writers.known(tenant) or await self._writers.find(tenant)
        note(log=writer.log, session_id=request.events[0].session_id)
        result = await writer.submit(request, deadline=ends_at)
        if isinstance(result, Rejected) and result.code == "wrong_log":
            result = await (await self.moved(tenant)).submit(request, deadline=ends_at)
        if isinstance(result, Stored):
            return result.events
        raise rejection(result)

    async def _require_version(self, tenant: str, session_id: str, version: int) -> int:
        head = await self._store.session_version(tenant, session_id)
        if head == 0:
            raise Problem(404, "session_not_found", f"session {session_id} has no turns", "session_id")
        if version > head:
            raise Problem(409, "version_not_reached", f"the session is at version {head}", "to_version")
        return head


def rejection(result: Rejected) -> Problem | StoreUnavailable:
    """Why nothing of the request was stored."""
    if result.code == "wrong_log":
        return StoreUnavailable("nothing was stored: the tenant is being assigned to another log")
    if result.code == "conflict":
        message = f"turn_id {result.key} is stored with another body; use a new id for another turn"
        return Problem(409, CONFLICT, message, "turn_id")
    return Problem(
        412,
        "version_mismatch",
        f"the session is at version {result.version}; read it again and decide anew",
        "If-Match",
        headers={"etag": f'"v{result.version}"'},
    )


def _turn_list(raw: dict[str, object]) -> list[object]:
    """The turns of a request of many. Raises `InvalidField`."""
    if unknown := raw.keys() - {"turns"}:
        raise InvalidField(min(unknown), "is not a known field beside turns; remove it", "unknown_field")
    turns = raw["turns"]
    if not isinstance(turns, list) or not 1 <= len(turns) <= TURNS_PER_REQUEST:
        raise InvalidField("turns", f"must be a list of 1 to {TURNS_PER_REQUEST} turns", "turns_count")
    return turns


def _once_each(events: Sequence[NewEvent]) -> None:
    """Raise `Problem` 409 for a turn id that stands twice."""
    seen: set[str] = set()
    for event in events:
        if event.key in seen:
            raise Problem(409, "turn_id_twice", f"turn_id {event.key} stands twice in this request", "turn_id")
        seen.add(event.key)


def _own_event(
    tenant: str,
    session_id: str,
    event_type: str,
    key: str,
    payload: dict[str, object],
    headers: WriteHeaders,
    correlation_id: str | None = None,
) -> NewEvent:
    data = canonical(payload)
    return NewEvent(
        tenant, session_id, event_type, key, data, payload_hash(data), new_id(),
        correlation_id=correlation_id, trace=headers.trace(),
    )  # fmt: skip


def _placed(place: Placed) -> bytes:
    assert place.version is not None, "a turn has a version"
    recorded_at = rfc3339(place.recorded_at_us)
    return placed_json(place.key, place.log, place.position, place.version, recorded_at, duplicate=place.duplicate)
