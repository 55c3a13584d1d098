"""The memory of an agent of the OpenAI Agents SDK, kept in a Turnlog session. The SDK's `Runner` calls it."""

import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agents.memory import SessionSettings

from turnlog_client import calls
from turnlog_client.aio import AsyncClient
from turnlog_client.client import Client
from turnlog_client.errors import Conflict
from turnlog_client.frameworks.history import PAGE_TURNS, all_retracted, appended_groups, history, newest
from turnlog_client.frameworks.openai_agents.items import Entry, Item, entries_of, turns_of
from turnlog_client.ids import as_id
from turnlog_client.steps import Steps, arun, ask, settled

if TYPE_CHECKING:
    from agents.items import TResponseInputItem

T = TypeVar("T")
SPARE_TURNS = 8
"""Turns read beyond a limit: pieces take turns of their own."""


class TurnlogSession:
    """One conversation: the SDK's `Session` protocol over an append-only log.

    `pop_item` and `clear_session` hide items from every read; the log's history keeps them. Reads show everything that
    was acknowledged before, to this process or any other. Every method raises the client's errors.
    """

    session_id: str
    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str,
        client: AsyncClient | Client | None = None,
        *,
        session_settings: SessionSettings | Mapping[str, Any] | None = None,
        agent_id: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """`session_id` is any text; in Turnlog the session is `turnlog_id` (see `as_id`). A `Client` works on any event
        loop, its calls in threads; an `AsyncClient` on its own loop. With none there is one of the session's own, to
        TURNLOG_URL, until `close`. `agent_id` and `user_id` are written on every turn."""
        self.session_id = session_id
        given = SessionSettings() if session_settings is None else session_settings
        self.session_settings = given if isinstance(given, SessionSettings) else SessionSettings(**given)
        self.turnlog_id = as_id(session_id)
        self._own = Client() if client is None else None
        self._client: AsyncClient | Client = client or cast("Client", self._own)
        self._members = {"agent_id": agent_id, "user_id": user_id}

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """The latest `limit` items, oldest first; none for a limit below 1; all where neither it nor `session_settings`
        has one."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is not None and limit < 1:
            return []
        entries = await arun(self._client, self._all() if limit is None else self._newest(limit))
        items = [item for entry in entries for item in entry.items]
        return cast("list[TResponseInputItem]", items if limit is None else items[-limit:])

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Append items in order; up to 1,000 of them (7 MiB) all or none. Once begun it is ended, also when cancelled.

        Raises ValueError for an item that is no JSON or larger than that.
        """
        groups = [turns_of(cast("Item", item), **self._members) for item in items]
        if groups:
            await settled(arun(self._client, appended_groups(self.turnlog_id, groups)))

    async def pop_item(self) -> "TResponseInputItem | None":
        """Hide the latest item and return it; None when there is none. No two pops return the same item."""
        return cast("TResponseInputItem | None", await settled(arun(self._client, self._pop())))

    async def clear_session(self) -> None:
        """Hide every item there is now."""
        await settled(arun(self._client, all_retracted(self.turnlog_id, "clear")))

    async def close(self) -> None:
        """Close the session's own client, if it has one."""
        if self._own is not None:
            self._own.close()

    async def __aenter__(self) -> "TurnlogSession":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    def _all(self) -> Steps[list[Entry]]:
        return entries_of((yield from history(self.turnlog_id)).turns)

    def _newest(self, count: int, before_version: int | None = None) -> Steps[list[Entry]]:
        """Entries that hold the newest `count` items, or all."""
        turns: list[dict[str, Any]] = []
        limit = min(count + SPARE_TURNS, PAGE_TURNS)
        while before_version != 1:
            page = yield from newest(self.turnlog_id, limit, before_version)
            turns = [*page.turns, *turns]
            if not page.turns or sum(len(entry.items) for entry in entries_of(turns)) >= count:
                break
            before_version = turns[0]["version"]
        return entries_of(turns)

    def _pop(self) -> Steps[Item | None]:
        """Under one key a session has one retraction, so of two that pop the same turn one is refused and goes on to
        the turn before. The reason tells this pop's own retries from another's."""
        before_version: int | None = None
        while found := (yield from self._newest(1, before_version)):
            last, reason = found[-1], f"pop {uuid.uuid4()}"
            call = calls.retract(self.turnlog_id, last.from_version, last.to_version, reason, f"pop.{last.to_version}")
            try:
                yield from ask(call)
            except Conflict:
                before_version = last.from_version
            else:
                return last.items[-1]
        return None
