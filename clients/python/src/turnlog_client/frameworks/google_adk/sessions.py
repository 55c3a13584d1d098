"""ADK's session service on Turnlog: one Turnlog session an ADK session, one turn an event."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session

from turnlog_client import ApiError, AsyncClient, new_turn_id
from turnlog_client.frameworks.google_adk.states import scopes_written, state_in
from turnlog_client.frameworks.google_adk.turns import (
    Place,
    StoredSession,
    app_id,
    app_state_id,
    creation,
    end,
    event_json,
    event_turn,
    merged,
    owner_id,
    scoped,
    stored_session,
    user_state_id,
)
from turnlog_client.frameworks.history import History, appended, changed, history, is_other_version, retracted
from turnlog_client.frameworks.names import parts_of
from turnlog_client.steps import Steps, arun

T = TypeVar("T")
READS_AT_ONCE = 8
STALE = "The session has been modified in storage since it was loaded. Reload it before appending more events."


class TurnlogSessionService(BaseSessionService):
    """Keeps ADK's sessions in Turnlog.

    A writer that holds an older session than the stored one gets ADK's `StaleSessionError`, decided by the session's
    version. `app:` and `user:` state stands in sessions of its own and is written just before the event that carries
    it. `delete_session` retracts: the log keeps the turns. Raises the client's errors, and `TurnTooLarge` for an event
    that does not fit into one turn.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """A new session. Raises `AlreadyExistsError`."""
        place = Place(app_name, user_id, (session_id or "").strip() or new_turn_id())
        parts = scoped(EventActions(state_delta=state or {}).model_dump(mode="json")["state_delta"])
        return await arun(self._client, _creating(place, parts, time.time()))

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """The session with its events, or those that `config` asks for. The whole session is read: its state comes from
        all events."""
        place = Place(app_name, user_id, session_id.strip())
        return await arun(self._client, _loading(place, config or GetSessionConfig()))

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Sessions without their events, the one updated last at the end. Reads every session listed: their state comes
        from their events."""
        owner = None if user_id is None else owner_id(user_id)
        rows = self._client.sessions(agent_id=app_id(app_name), user_id=owner)
        names = [parts_of(row["session_id"]) async for row in rows]
        places = [Place(*name) for name in names if len(name) == 3 and name[0] == app_name]
        free = asyncio.Semaphore(READS_AT_ONCE)

        async def take(steps: Steps[T]) -> T:
            async with free:
                return await arun(self._client, steps)

        stored = await asyncio.gather(*(take(_stored(place)) for place in places))
        there = [(place, found) for place, found in zip(places, stored, strict=True) if found.exists]
        users = sorted({place.user_id for place, _ in there})
        app = await take(state_in(app_state_id(app_name)))
        states = await asyncio.gather(*(take(state_in(user_state_id(app_name, user))) for user in users))
        owned = dict(zip(users, states, strict=True))
        made = [
            _session(place, found, GetSessionConfig(num_recent_events=0), app, owned[place.user_id])
            for place, found in there
        ]
        return ListSessionsResponse(sessions=sorted(made, key=lambda s: (s.last_update_time, s.user_id, s.id)))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """End the session and retract its turns; the app's and the user's state stay."""
        await arun(self._client, _deleting(Place(app_name, user_id, session_id.strip())))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The user's state in the app, without the prefix."""
        return await arun(self._client, state_in(user_state_id(app_name, user_id)))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event, and apply it to `session`. Delivered again, it is stored once. Raises `StaleSessionError` and
        `SessionNotFoundError`."""
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        version = await arun(self._client, _appending(session, event))
        session._storage_update_marker = str(version)
        session.last_update_time = event.timestamp
        if any(known.id == event.id and known == event for known in session.events):
            return event
        return self._commit_event_to_session(session, event)


def _creating(place: Place, parts: Mapping[str, Mapping[str, Any]], at: float) -> Steps[Session]:
    found = yield from _stored(place)
    if found.exists:
        raise AlreadyExistsError(f"Session with id {place.session_id} already exists.")
    made = creation(place, parts["session"], at)
    yield from scopes_written(place, parts)
    try:
        placed = yield from appended(place.id, [made], found.version)
    except ApiError as error:
        if is_other_version(error):
            raise AlreadyExistsError(f"Session with id {place.session_id} already exists.") from error
        raise
    now = StoredSession(placed[-1].version, True, dict(parts["session"]), updated_at=at)
    return (yield from _with_scopes(place, now, GetSessionConfig()))


def _loading(place: Place, config: GetSessionConfig) -> Steps[Session | None]:
    found = yield from _stored(place)
    return (yield from _with_scopes(place, found, config)) if found.exists else None


def _stored(place: Place) -> Steps[StoredSession]:
    return stored_session((yield from history(place.id)))


def _with_scopes(place: Place, stored: StoredSession, config: GetSessionConfig) -> Steps[Session]:
    app = yield from state_in(app_state_id(place.app_name))
    user = yield from state_in(user_state_id(place.app_name, place.user_id))
    return _session(place, stored, config, app, user)


def _session(
    place: Place, stored: StoredSession, config: GetSessionConfig, app: Mapping[str, Any], user: Mapping[str, Any]
) -> Session:
    events = stored.events
    if config.num_recent_events is not None:
        events = events[len(events) - min(config.num_recent_events, len(events)) :]
    if config.after_timestamp is not None:
        events = [event for event in events if event.timestamp >= config.after_timestamp]
    session = Session(
        id=place.session_id,
        app_name=place.app_name,
        user_id=place.user_id,
        state=merged(app, user, stored.state),
        events=events,
        last_update_time=stored.updated_at,
    )
    session._storage_update_marker = str(stored.version)
    return session


def _appending(session: Session, event: Event) -> Steps[int]:
    """Store the event if `session` is what is stored; the version that `session` is at with it."""
    place = Place(session.app_name, session.user_id, session.id)
    item = event_json(event)
    parts = scoped(item.get("actions", {}).get("state_delta", {}))
    mark = session._storage_update_marker
    if mark is None or parts["app"] or parts["user"]:
        found = yield from _require(place)
        if event.id in found.versions:
            return _mark_with(mark, found.versions[event.id])
        version = _current(session, found)
    else:
        version = int(mark)
    made = event_turn(place, event, item, event.id)
    yield from scopes_written(place, parts)
    try:
        placed = (yield from appended(place.id, [made], version))[-1]
    except ApiError as error:
        if is_other_version(error):
            yield from _require(place)
            raise StaleSessionError(STALE) from error
        raise
    if placed.duplicate:
        found = yield from _require(place)
        if event.id in found.versions:
            return _mark_with(mark, found.versions[event.id])
        # The id was used in a life of this session that has ended since.
        placed = (yield from appended(place.id, [event_turn(place, event, item, None)], version))[-1]
    return placed.version


def _mark_with(mark: str | None, event_version: int) -> int:
    """The version of a session object that is given an event stored before: the event's, where it comes next. Else the
    object knows it already, or lacks what stands in between and must stay stale."""
    return event_version if mark is None or int(mark) + 1 == event_version else int(mark)


def _current(session: Session, found: StoredSession) -> int:
    """The stored version, when `session` is at it. A session object without a mark counts as current when it ends with
    the event that the stored one ends with. Raises `StaleSessionError`."""
    mark = session._storage_update_marker
    same_end = [e.id for e in session.events[-1:]] == [e.id for e in found.events[-1:]]
    if not (same_end if mark is None else mark == str(found.version)):
        raise StaleSessionError(STALE)
    return found.version


def _require(place: Place) -> Steps[StoredSession]:
    found = yield from _stored(place)
    if not found.exists:
        raise SessionNotFoundError(f"Session {place.session_id} not found.")
    return found


def _deleting(place: Place) -> Steps[None]:
    def ended(found: History) -> tuple[list[dict[str, Any]], int]:
        return ([end(place)], found.version + 1) if stored_session(found).exists else ([], 0)

    version = yield from changed(place.id, ended)
    if version:
        yield from retracted(place.id, [(1, version)], "session deleted")
