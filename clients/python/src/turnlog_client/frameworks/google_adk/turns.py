"""ADK's events and states → turns, and the turns of a session → the session as ADK has it. Pure.

metadata.google_adk = {"item": …, "holds": "creation" | "event" | "state" | "end"}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.state import State

from turnlog_client import turn
from turnlog_client.frameworks.history import History
from turnlog_client.frameworks.items import facts_of, item_of, with_item
from turnlog_client.frameworks.names import id_of, id_of_parts
from turnlog_client.frameworks.shown import BLANK, Shown, ShownCall, ShownResult

FRAMEWORK = "google_adk"
NOTHING_SHOWN: Mapping[str, Any] = {"role": "system", "content": BLANK}
_CREATION, _EVENT, _STATE, _END = "creation", "event", "state", "end"


@dataclass(frozen=True)
class Place:
    """Whose session it is. Raises ValueError for a name that is empty or too long for an id."""

    app_name: str
    user_id: str
    session_id: str

    @property
    def id(self) -> str:
        """The Turnlog session."""
        return id_of_parts(self.app_name, self.user_id, self.session_id, what="app_name:user_id:session_id")

    def turn(self, fields: Mapping[str, Any], turn_id: str | None = None) -> dict[str, Any]:
        """A turn in it: `agent_id` is the app and `user_id` the user, so that the sessions of both can be listed."""
        return turn(**fields, agent_id=app_id(self.app_name), user_id=owner_id(self.user_id), turn_id=turn_id)


@dataclass
class StoredSession:
    """What a Turnlog session holds of an ADK session; `exists` is false before its creation and after its end."""

    version: int
    exists: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    updated_at: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)
    """The version of each event, by its id."""


def app_id(app_name: str) -> str:
    """The `agent_id` of an app's turns."""
    return id_of(app_name, "app_name")


def owner_id(user_id: str) -> str:
    """The `user_id` of a user's turns."""
    return id_of(user_id, "user_id")


def app_state_id(app_name: str) -> str:
    """The session that holds an app's state."""
    return id_of_parts(app_name, what="app_name", kind="#state")


def user_state_id(app_name: str, user_id: str) -> str:
    """The session that holds a user's state in an app."""
    return id_of_parts(app_name, user_id, what="app_name:user_id", kind="#state")


def stored_session(found: History) -> StoredSession:
    """The session that its turns make; turns of others are passed over."""
    session = StoredSession(found.version)
    for stored in found.turns:
        holds = facts_of(FRAMEWORK, stored).get("holds")
        if holds == _CREATION:
            item = item_of(FRAMEWORK, stored)
            session = StoredSession(found.version, True, dict(item["state"]), updated_at=item["at"])
        elif holds == _END:
            session = StoredSession(found.version)
        elif holds == _EVENT and session.exists:
            item = item_of(FRAMEWORK, stored)
            event = Event.model_validate_json(json.dumps(item))
            session.events.append(event)
            session.versions[event.id] = stored["version"]
            session.updated_at = event.timestamp
            session.state.update(scoped(item.get("actions", {}).get("state_delta", {}))["session"])
    return session


def events_in(turns: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The events that turns hold."""
    held = [stored for stored in turns if facts_of(FRAMEWORK, stored).get("holds") == _EVENT]
    return [Event.model_validate_json(json.dumps(item_of(FRAMEWORK, stored))) for stored in held]


def stored_state(found: History) -> dict[str, Any]:
    """The state of an app or a user, from the newest turns of its session."""
    held = [stored for stored in found.turns if facts_of(FRAMEWORK, stored).get("holds") == _STATE]
    return dict(item_of(FRAMEWORK, held[-1])["state"]) if held else {}


def creation(place: Place, state: Mapping[str, Any], at: float) -> dict[str, Any]:
    """The turn that begins a session with its own state; `at` is a time in seconds since 1970."""
    return with_item(FRAMEWORK, place.turn(NOTHING_SHOWN), {"state": dict(state), "at": at}, {"holds": _CREATION})


def end(place: Place) -> dict[str, Any]:
    """The turn that ends a session: nothing before it counts any more."""
    return with_item(FRAMEWORK, place.turn(NOTHING_SHOWN), {}, {"holds": _END})


def event_turn(place: Place, event: Event, item: Mapping[str, Any], turn_id: str | None) -> dict[str, Any]:
    """The turn of an event whose JSON is `item`."""
    return with_item(FRAMEWORK, place.turn(shown(event).fields(), turn_id), item, {"holds": _EVENT}, _again)


def state_turn(state: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """The turn of a change of an app's or a user's state: the whole state after it, and what changed."""
    item = {"state": {**state, **delta}, "delta": dict(delta)}
    return with_item(FRAMEWORK, turn(**NOTHING_SHOWN), item, {"holds": _STATE})


def event_json(event: Event) -> dict[str, Any]:
    """The event as JSON. Fields at their defaults are left out, but no None that stands in a state, in arguments or in
    metadata: there it says something."""
    found: dict[str, Any] = json.loads(event.model_dump_json(exclude_defaults=True))
    return found


def _again(item: Any) -> Any:
    return event_json(Event.model_validate_json(json.dumps(item)))


def scoped(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A state's keys by scope: `app`, `user` (both without their prefix) and `session`; `temp:` keys are dropped."""
    found: dict[str, dict[str, Any]] = {"app": {}, "user": {}, "session": {}}
    for key, value in state.items():
        if key.startswith(State.APP_PREFIX):
            found["app"][key.removeprefix(State.APP_PREFIX)] = value
        elif key.startswith(State.USER_PREFIX):
            found["user"][key.removeprefix(State.USER_PREFIX)] = value
        elif not key.startswith(State.TEMP_PREFIX):
            found["session"][key] = value
    return found


def merged(app: Mapping[str, Any], user: Mapping[str, Any], session: Mapping[str, Any]) -> dict[str, Any]:
    """The state that an agent sees: all three scopes under their prefixes."""
    return {
        **session,
        **{State.APP_PREFIX + key: value for key, value in app.items()},
        **{State.USER_PREFIX + key: value for key, value in user.items()},
    }


def shown(event: Event) -> Shown:
    """What is read of an event. Thoughts are not shown."""
    texts: list[str] = []
    calls: list[ShownCall] = []
    results: list[ShownResult] = []
    for part in (event.content.parts if event.content else None) or []:
        if part.text and not part.thought:
            texts.append(part.text)
        elif part.function_call:
            call = part.function_call
            calls.append(ShownCall(call.id or "", call.name or "", json.dumps(call.args or {}, default=str)))
        elif part.function_response:
            answer = part.function_response
            results.append(ShownResult(answer.id or "", json.dumps(answer.response, ensure_ascii=False, default=str)))
        elif part.inline_data:
            texts.append(f"[{part.inline_data.mime_type}, {len(part.inline_data.data or b'')} bytes]")
        elif part.file_data:
            texts.append(f"[{part.file_data.file_uri}]")
    said = event.input_transcription or event.output_transcription
    if not (texts or calls or results) and said and said.text:
        texts.append(said.text)
    if event.author == "user":
        return Shown("user", tuple(texts), results=tuple(results))
    return Shown("assistant", tuple(texts), tuple(calls), tuple(results), name=event.author or None)
