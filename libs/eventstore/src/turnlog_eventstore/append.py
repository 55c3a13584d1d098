"""Append: a batch of requests becomes the parameters of one SQL call, and its rows one result per request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnlog_events.event import Event, NewEvent
from turnlog_eventstore.known_members import KnownMembers


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Events of ONE session, stored all or none. `expected_version` is the version the session must have; it is
    checked unless every event is a duplicate. No key may stand in a request twice."""

    events: tuple[NewEvent, ...]
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an event stands. `duplicate`: it stood there before, and this is the first answer again."""

    key: str
    log: str
    position: int
    version: int | None
    recorded_at_us: int
    duplicate: bool
    event_id: str
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The request is stored: one place per event, in the order asked."""

    events: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing of the request is stored. `version` is the session's version now; `key` the one in conflict; `log` the
    one that the tenant is assigned to, when it is another (`wrong_log`)."""

    code: Literal["version_mismatch", "conflict", "wrong_log"]
    version: int = 0
    key: str | None = None
    log: str | None = None


Appended = Stored | Rejected
SessionKey = tuple[str, str]


def newly_stored(request: AppendRequest, stored: Stored) -> list[Event]:
    """The events that this append put into the log, as they stand there (duplicates are left out)."""
    return [
        Event(
            log=place.log,
            position=place.position,
            event_id=place.event_id,
            tenant=new.tenant,
            session_id=new.session_id,
            version=place.version,
            type=new.type,
            schema_version=new.schema_version,
            key=new.key,
            recorded_at_us=place.recorded_at_us,
            causation_id=new.causation_id,
            correlation_id=new.correlation_id,
            trace=new.trace,
            payload=new.payload,
            payload_sha256=new.payload_sha256,
            key_id="",
            chain_hash=place.chain_hash,
        )
        for new, place in zip(request.events, stored.events, strict=True)
        if not place.duplicate
    ]


def parameters(log: str, requests: Sequence[AppendRequest], members: KnownMembers) -> tuple[Any, ...]:
    """The arguments of `sql/append.sql`."""
    sessions: dict[SessionKey, int] = {}
    opened = 0
    rows: list[tuple[Any, ...]] = []
    for number, request in enumerate(requests, 1):
        first = request.events[0]
        session = sessions.setdefault((first.tenant, first.session_id), len(sessions) + 1)
        for event in request.events:
            is_first = session > opened
            opened = max(opened, session)
            rows.append(
                (
                    number,
                    session,
                    is_first,
                    request.expected_version,
                    event.event_id,
                    event.type,
                    event.schema_version,
                    event.takes_version,
                    event.key,
                    event.causation_id,
                    event.correlation_id,
                    event.trace,
                    event.agent_id,
                    event.user_id,
                    members.may_be_new(event),
                    event.payload,
                    event.payload_sha256,
                )
            )
    columns = (_column(values) for values in zip(*rows, strict=True))
    return (log, [t for t, _ in sessions], [s for _, s in sessions], *columns)


def _column(values: tuple[Any, ...]) -> list[Any] | None:
    """A column as an array; one without any value as null, which `unnest` fills up and costs nothing to encode."""
    return list(values) if any(value is not None for value in values) else None


def results(log: str, requests: Sequence[AppendRequest], rows: Iterable[Sequence[Any]]) -> list[Appended]:
    """One result per request from the rows of `sql/append.sql` (one row per event, in order)."""
    out: list[Appended] = []
    left = iter(rows)
    for request in requests:
        own = [next(left) for _ in request.events]
        status = own[0][1]
        if status == "wrong_log":
            out.append(Rejected("wrong_log", log=own[0][2]))
            continue
        if status in ("conflict", "version_mismatch"):
            key = next((row[2] for row in own if row[3] is not None), None) if status == "conflict" else None
            out.append(Rejected(status, own[0][4], key))
            continue
        out.append(
            Stored(
                tuple(
                    Placed(key, log, position, version, recorded_at_us, status == "duplicate", event_id, chain_hash)
                    for _, status, key, position, version, recorded_at_us, event_id, chain_hash in own
                )
            )
        )
    return out
