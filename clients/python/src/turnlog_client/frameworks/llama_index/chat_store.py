"""LlamaIndex's `BaseChatStore` on Turnlog: one session a key, one turn a message."""

from collections.abc import Sequence
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.storage.chat_store.base import BaseChatStore

from turnlog_client import AsyncClient, Client
from turnlog_client.frameworks.history import Span, appended, history, newest, retracted, session_ids
from turnlog_client.frameworks.llama_index.messages import Kept, kept, turns_of
from turnlog_client.frameworks.names import id_of
from turnlog_client.ids import name_of
from turnlog_client.steps import Steps, arun, run

T = TypeVar("T")
LOOKED_AT_TURNS = 5
"""How many of its newest turns tell whether a session holds a message: some turns only archive."""


class TurnlogChatStore(BaseChatStore):
    """Keeps messages in Turnlog. The session's id is the key, written as `names.id_of` does.

    Deleting retracts: the log keeps the turns. `set_messages` appends the new messages and retracts the old ones. A key
    without messages does not exist. Turns stored by others in such a session are read as plain messages. Raises the
    client's errors, and `TurnTooLarge` for a message that does not fit into one turn.
    """

    agent_id: str
    _client: Client = PrivateAttr()
    _async_client: AsyncClient | None = PrivateAttr()

    def __init__(
        self, client: Client, async_client: AsyncClient | None = None, *, agent_id: str = "llama-index"
    ) -> None:
        """The async methods use `async_client`; without one they use `client` in a thread. `agent_id` stands on every
        turn, and `get_keys` lists the sessions of that agent."""
        super().__init__(agent_id=agent_id)  # type: ignore[call-arg]  # BaseComponent hides its fields
        self._client, self._async_client = client, async_client

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "TurnlogChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replace all messages of a key."""
        run(self._client, self._setting(key, messages))

    def get_messages(self, key: str) -> list[ChatMessage]:
        """The messages of a key, oldest first; none for an unknown key."""
        return run(self._client, _getting(key))

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Append a message."""
        run(self._client, self._adding(key, message))

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Take back all messages of a key; what they were, or None for an unknown key."""
        return run(self._client, all_deleted(key))

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back the message at an index (negative: from the end); what it was, or None when there is none."""
        return run(self._client, _deleting(key, idx))

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Take back the last message; what it was, or None when there is none."""
        return run(self._client, _deleting(key, -1))

    def get_keys(self) -> list[str]:
        """The keys with messages, the newest first. Asks each session of the agent whether anything is left in it."""
        return run(self._client, self._listing())

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """`set_messages`, asynchronously."""
        await self._take(self._setting(key, messages))

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """`get_messages`, asynchronously."""
        return await self._take(_getting(key))

    async def async_add_message(self, key: str, message: ChatMessage) -> None:
        """`add_message`, asynchronously."""
        await self._take(self._adding(key, message))

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """`delete_messages`, asynchronously."""
        return await self._take(all_deleted(key))

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """`delete_message`, asynchronously."""
        return await self._take(_deleting(key, idx))

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """`delete_last_message`, asynchronously."""
        return await self._take(_deleting(key, -1))

    async def aget_keys(self) -> list[str]:
        """`get_keys`, asynchronously."""
        return await self._take(self._listing())

    async def _take(self, steps: Steps[T]) -> T:
        return await arun(self._async_client or self._client, steps)

    def _adding(self, key: str, message: ChatMessage) -> Steps[None]:
        yield from appended(id_of(key, "key"), turns_of([message], self.agent_id))

    def _setting(self, key: str, messages: Sequence[ChatMessage]) -> Steps[None]:
        if messages:
            yield from replaced(id_of(key, "key"), turns_of(messages, self.agent_id, starts=True))
        else:
            yield from all_deleted(key)

    def _listing(self) -> Steps[list[str]]:
        return (yield from keys_of(self.agent_id))


def replaced(session_id: str, turns: Sequence[dict[str, Any]]) -> Steps[None]:
    """Append turns of which the first says that nothing before it counts, and retract what was before: the first makes
    it true for the store at once, the second for contexts and summaries."""
    before = yield from newest(session_id, 1)
    placed = yield from appended(session_id, turns)
    if before.turns:
        yield from retracted(session_id, [(1, placed[0].version - 1)], "messages replaced")


def keys_of(agent_id: str) -> Steps[list[str]]:
    """The keys whose sessions hold a message, the newest first."""
    keys: list[str] = []
    for session_id in (yield from session_ids(agent_id)):
        key = name_of(session_id)
        if key is not None and kept((yield from newest(session_id, LOOKED_AT_TURNS))):
            keys.append(key)
    return keys


def _getting(key: str) -> Steps[list[ChatMessage]]:
    return [found.message for found in kept((yield from history(id_of(key, "key"))))]


def all_deleted(key: str) -> Steps[list[ChatMessage] | None]:
    """Retract everything of a key; what its messages were, None for an unknown key."""
    session_id = id_of(key, "key")
    found = yield from history(session_id)
    if not found.turns:
        return None
    yield from retracted(session_id, [(found.turns[0]["version"], found.turns[-1]["version"])], "messages deleted")
    return [held.message for held in kept(found)]


def _deleting(key: str, idx: int) -> Steps[ChatMessage | None]:
    session_id = id_of(key, "key")
    messages = kept((yield from history(session_id)))
    if not -len(messages) <= idx < len(messages):
        return None
    gone = messages[idx]
    yield from retracted(session_id, [span_of(messages, gone)], "message deleted")
    return gone.message


def span_of(messages: Sequence[Kept], gone: Kept) -> Span:
    """What a retraction of a message hides: with the first message goes all that it replaced."""
    return (1 if gone == messages[0] else gone.version), gone.version
