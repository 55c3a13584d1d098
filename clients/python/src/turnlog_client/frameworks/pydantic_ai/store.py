"""pydantic-ai's `ConversationStore` on Turnlog: one session a conversation, one turn a message."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from turnlog_client import AsyncClient
from turnlog_client.frameworks.history import appended, attempted, history, newest, retracted
from turnlog_client.frameworks.names import id_of
from turnlog_client.frameworks.pydantic_ai.turns import Held, ending, held, tips, turns_of
from turnlog_client.steps import Steps, arun

RECENT_TURNS = 20
"""Turns looked at for the record first: each save ends with it."""
READS_AT_ONCE = 8
HOMES_MAX = 10_000
"""Entries whose session is remembered, so that a history is found by its last entry alone."""


class TurnlogConversationStore(ConversationStore):
    """Keeps conversations in Turnlog. The session's id is the conversation's, written as `names.id_of` does.

    `delete` takes the conversation back: its turns are retracted, the log keeps them. A fork copies the history it
    shares into its own session, so every session can be read, summarised and deleted for itself. Raises the client's
    errors, and `TurnTooLarge` for a message that does not fit into one turn.
    """

    def __init__(self, client: AsyncClient, *, agent_id: str = "pydantic-ai") -> None:
        """`agent_id` stands on every turn; `list_conversations` looks through the sessions of that agent."""
        self._client, self._agent_id = client, agent_id
        self._homes: OrderedDict[str, str] = OrderedDict()

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record for a conversation, or None."""
        return (await self._recent_of(id_of(conversation_id, "conversation_id"))).record

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The stored records, the one saved last first. Reads the end of every conversation of the scope."""
        owner = None if scope is None else id_of(scope, "scope")
        rows = self._client.sessions(agent_id=self._agent_id, user_id=owner)
        session_ids = [row["session_id"] async for row in rows]
        places = asyncio.Semaphore(READS_AT_ONCE)

        async def record(session_id: str) -> ConversationRecord | None:
            async with places:
                return (await self._recent_of(session_id)).record

        found = [r for r in await asyncio.gather(*map(record, session_ids)) if r is not None]
        kept = [r for r in found if scope is None or r.scope == scope]
        return sorted(kept, key=lambda r: r.updated_at, reverse=True)[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store new entries and the record in one request, only if the session is as expected."""
        session_id = id_of(record.conversation_id, "conversation_id")
        await arun(self._client, self._writing(session_id, record, new_entries, expected_revision))
        self._remember(session_id, [*tips(record), *(entry.id for entry in new_entries)])

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """End the conversation and retract its turns. Forks have copies of their own and are not touched."""
        session_id = id_of(conversation_id, "conversation_id")
        await arun(self._client, self._deleting(session_id, conversation_id, expected_revision))

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry with this id. Raises LookupError."""
        return (await self._line(entry_id))[-1]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to `head_id`, or the last `limit` of them. Raises LookupError.

        An entry that this store has not met is searched for in all conversations of the agent.
        """
        line = [] if head_id is None else await self._line(head_id)
        return line if limit is None else line[len(line) - min(limit, len(line)) :]

    async def _line(self, entry_id: str) -> list[ConversationEntry]:
        home = self._homes.get(entry_id)
        if home is not None and entry_id in (found := await arun(self._client, _whole(home))).entries:
            return found.line(entry_id)
        async for row in self._client.sessions(agent_id=self._agent_id):
            found = await arun(self._client, _whole(row["session_id"]))
            if entry_id in found.entries:
                self._remember(row["session_id"], [entry_id])
                return found.line(entry_id)
        raise LookupError(f"entry {entry_id} is in no conversation of agent {self._agent_id}")

    async def _recent_of(self, session_id: str) -> Held:
        found = await arun(self._client, _recent(session_id))
        if found.record is not None:
            self._remember(session_id, tips(found.record))
        return found

    def _remember(self, session_id: str, entry_ids: Sequence[str] | Iterator[str]) -> None:
        for entry_id in entry_ids:
            self._homes[entry_id] = session_id
            self._homes.move_to_end(entry_id)
        while len(self._homes) > HOMES_MAX:
            self._homes.popitem(last=False)

    def _writing(
        self,
        session_id: str,
        record: ConversationRecord,
        new: Sequence[ConversationEntry],
        expected_revision: str | None,
    ) -> Steps[None]:
        def attempt() -> Steps[None]:
            stored = yield from _recent(session_id)
            if _revision(stored) != expected_revision:
                raise ConversationConflict(record.conversation_id)
            base = new[0].parent_id if new else record.head_id
            copied: Sequence[ConversationEntry] = ()
            if base is not None and (stored.record is None or stored.record.head_id != base):
                copied = yield from _missing(session_id, record, base)
            turns = turns_of(record, copied, new, self._agent_id)
            yield from appended(session_id, turns, stored.version)

        return attempted(session_id, attempt)

    def _deleting(self, session_id: str, conversation_id: str, expected_revision: str) -> Steps[None]:
        def attempt() -> Steps[int]:
            stored = yield from _recent(session_id)
            if stored.record is None or stored.record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            placed = yield from appended(session_id, [ending(self._agent_id)], stored.version)
            return placed[-1].version

        version = yield from attempted(session_id, attempt)
        yield from retracted(session_id, [(1, version)], "conversation deleted")


def _missing(session_id: str, record: ConversationRecord, base: str) -> Steps[Sequence[ConversationEntry]]:
    """The entries up to `base` that the session does not have yet: none, or the history that a fork shares. Raises
    `ConversationConflict` when `base` is nowhere."""
    own = yield from _whole(session_id)
    if base in own.entries:
        return ()
    if record.forked_from is not None:
        source = yield from _whole(id_of(record.forked_from, "forked_from"))
        if base in source.entries:
            return source.line(base)
    raise ConversationConflict(record.conversation_id)


def _revision(stored: Held) -> str | None:
    return None if stored.record is None else stored.record.revision


def _recent(session_id: str) -> Steps[Held]:
    """The session's record and version; of its entries only the newest."""
    page = yield from newest(session_id, RECENT_TURNS)
    found = held(page.version, page.turns)
    if found.record is None and len(page.turns) == RECENT_TURNS:
        found = yield from _whole(session_id)
    return found


def _whole(session_id: str) -> Steps[Held]:
    found = yield from history(session_id)
    return held(found.version, found.turns)
