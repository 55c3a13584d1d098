"""ADK's memory service on Turnlog: a search by words over the sessions of a user.

There is no search in the server yet: turns are read here, newest sessions first, up to a bound.
"""

import re
import time
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from google.adk.events.event import Event
from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions.session import Session

from turnlog_client import AsyncClient
from turnlog_client.frameworks.google_adk.turns import (
    Place,
    app_id,
    creation,
    event_json,
    event_turn,
    events_in,
    owner_id,
    stored_session,
)
from turnlog_client.frameworks.history import History, changed, newest
from turnlog_client.frameworks.names import parts_of
from turnlog_client.steps import Steps, arun

ANSWERS_MAX = 10
SEARCHED_SESSIONS = 200
SEARCHED_TURNS = 5_000
PAGE_TURNS = 1_000
UNNAMED_SESSION = "unnamed"


class TurnlogMemoryService(BaseMemoryService):
    """Finds what was said in a user's sessions.

    Every session that `TurnlogSessionService` keeps is searched, added or not; adding a session stores what of it is
    not stored yet, so that sessions of another session service are found as well.
    """

    def __init__(
        self, client: AsyncClient, *, searched_sessions: int = SEARCHED_SESSIONS, searched_turns: int = SEARCHED_TURNS
    ) -> None:
        """A search reads the newest `searched_sessions` sessions, and `searched_turns` turns in all, at most."""
        self._client, self._sessions, self._turns = client, searched_sessions, searched_turns

    async def add_session_to_memory(self, session: Session) -> None:
        """Store the session's events that are not stored yet."""
        place = Place(session.app_name, session.user_id, session.id)
        await arun(self._client, _adding(place, session.events))

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Event],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store those of the events that are not stored yet; `custom_metadata` is not kept."""
        await arun(self._client, _adding(Place(app_name, user_id, session_id or UNNAMED_SESSION), events))

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> SearchMemoryResponse:
        """The ten events that share the most words with the query; of equals, those of newer sessions first."""
        wanted = words(query)
        scored: list[tuple[int, Event]] = []
        left = self._turns
        for session_id in await self._session_ids(app_name, user_id):
            events, read = await arun(self._client, _newest_events(session_id, left))
            left -= read
            scored += [(count, event) for event in events if (count := matches(wanted, said(event)))]
            if left <= 0:
                break
        scored.sort(key=lambda found: -found[0])
        return SearchMemoryResponse(memories=[_memory(event) for _, event in scored[:ANSWERS_MAX]])

    async def _session_ids(self, app_name: str, user_id: str) -> list[str]:
        found: list[str] = []
        async for row in self._client.sessions(agent_id=app_id(app_name), user_id=owner_id(user_id)):
            parts = parts_of(row["session_id"])
            if len(parts) == 3 and parts[:2] == [app_name, user_id]:
                found.append(row["session_id"])
            if len(found) == self._sessions:
                break
        return found


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(re.findall(r"\w+", _folded(text)))


def matches(wanted: set[str], text: str) -> int:
    """How many of the words `wanted` are in a text. A word of a script that is written without spaces counts wherever
    it stands; a Latin word inside of such a text counts, too."""
    folded = _folded(text)
    there = words(text)
    for word in [w for w in there if not w.isascii()]:
        there.update("".join(run) for _, run in groupby(word, _is_latin))
    return sum(1 for word in wanted if word in there or (not word.isascii() and word in folded))


def said(event: Event) -> str:
    """The text of an event."""
    parts = (event.content.parts if event.content else None) or []
    return " ".join(part.text for part in parts if part.text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _is_latin(character: str) -> bool:
    return (
        character == "_" or (character.isascii() and character.isalnum()) or "LATIN" in unicodedata.name(character, "")
    )


def _memory(event: Event) -> MemoryEntry:
    at = datetime.fromtimestamp(event.timestamp).astimezone().isoformat()
    assert event.content is not None
    return MemoryEntry(id=event.id, content=event.content, author=event.author, timestamp=at)


def _newest_events(session_id: str, turns_max: int) -> Steps[tuple[list[Event], int]]:
    """The events of the newest turns of a session, oldest first, and how many turns were read."""
    turns: list[dict[str, Any]] = []
    more = True
    while more and len(turns) < turns_max:
        limit = min(PAGE_TURNS, turns_max - len(turns))
        page = yield from newest(session_id, limit, turns[0]["version"] if turns else None)
        turns = [*page.turns, *turns]
        more = len(page.turns) == limit
    return events_in(turns), max(len(turns), 1)


def _adding(place: Place, events: Sequence[Event]) -> Steps[None]:
    def decide(found: History) -> tuple[list[dict[str, Any]], None]:
        stored = stored_session(found)
        known = {event.id for event in stored.events}
        made = [] if stored.exists else [creation(place, {}, time.time())]
        for event in events:
            if event.content and event.content.parts and event.id not in known:
                made.append(event_turn(place, event, event_json(event), None))
                known.add(event.id)
        return made, None

    yield from changed(place.id, decide)
