"""LlamaIndex's `AsyncDBChatStore` on Turnlog: the store behind its `Memory`, whose messages are active or archived."""

from collections.abc import Sequence
from typing import Any, TypeVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from turnlog_client import AsyncClient, Client
from turnlog_client.frameworks.history import History, appended, changed, history, retracted
from turnlog_client.frameworks.llama_index.chat_store import all_deleted, keys_of, replaced, span_of
from turnlog_client.frameworks.llama_index.messages import Kept, archiving, kept, turns_of
from turnlog_client.frameworks.names import id_of
from turnlog_client.steps import Steps, arun

T = TypeVar("T")
ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


class TurnlogMemoryStore(AsyncDBChatStore):
    """Keeps the messages of a `Memory` in Turnlog. The session's id is the key, written as `names.id_of` does.

    Archiving appends a turn that says up to where; deleting retracts. Raises the client's errors, and `TurnTooLarge`
    for a message that does not fit into one turn.
    """

    agent_id: str
    _client: Client = PrivateAttr()
    _async_client: AsyncClient | None = PrivateAttr()

    def __init__(
        self, client: Client, async_client: AsyncClient | None = None, *, agent_id: str = "llama-index"
    ) -> None:
        """Without `async_client`, `client` is used in a thread: needed where `Memory`'s synchronous methods are called,
        which run an event loop of their own. `agent_id` stands on every turn; `get_keys` lists its sessions."""
        super().__init__(agent_id=agent_id)  # type: ignore[call-arg]  # the parent declares no field
        self._client, self._async_client = client, async_client

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "TurnlogMemoryStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """The messages of a status (None: all), oldest first."""
        start = offset or 0
        found = [held.message for held in await self._of(key, status)]
        return found[start:] if limit is None else found[start : start + limit]

    async def count_messages(self, key: str, status: MessageStatus | None = ACTIVE) -> int:
        """How many messages there are of a status (None: all)."""
        return len(await self._of(key, status))

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = ACTIVE) -> None:
        """Append a message."""
        await self.add_messages(key, [message], status)

    async def add_messages(self, key: str, messages: list[ChatMessage], status: MessageStatus = ACTIVE) -> None:
        """Append messages."""
        turns = turns_of(messages, self.agent_id, archived=status is ARCHIVED)
        await self._take(appended(id_of(key, "key"), turns))

    async def set_messages(self, key: str, messages: list[ChatMessage], status: MessageStatus = ACTIVE) -> None:
        """Replace all messages of a key, whatever their status."""
        if messages:
            turns = turns_of(messages, self.agent_id, starts=True, archived=status is ARCHIVED)
            await self._take(replaced(id_of(key, "key"), turns))
        else:
            await self.delete_messages(key)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back the message with an id: the version of its turn. What it was, or None."""
        every = await self._of(key, None)
        gone = [held for held in every if held.version == idx]
        await self._take(_retracting(id_of(key, "key"), every, gone))
        return gone[0].message if gone else None

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Take back the messages of a status (None: all)."""
        if status is None:
            await self._take(all_deleted(key))
            return
        every = await self._of(key, None)
        await self._take(_retracting(id_of(key, "key"), every, [held for held in every if _has(held, status)]))

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Take back the oldest `n` active messages; what they were."""
        every = await self._of(key, None)
        gone = [held for held in every if not held.archived][:n]
        await self._take(_retracting(id_of(key, "key"), every, gone))
        return [held.message for held in gone]

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest `n` active messages; what they are."""

        def decide(found: History) -> tuple[list[dict[str, Any]], list[ChatMessage]]:
            oldest = [held for held in kept(found) if not held.archived][:n]
            turns = [archiving(oldest[-1].version, self.agent_id)] if oldest else []
            return turns, [held.message for held in oldest]

        return await self._take(changed(id_of(key, "key"), decide))

    async def get_keys(self) -> list[str]:
        """The keys with messages, the newest first. Asks each session of the agent whether anything is left in it."""
        return await self._take(keys_of(self.agent_id))

    async def _of(self, key: str, status: MessageStatus | None) -> list[Kept]:
        found = await self._take(history(id_of(key, "key")))
        return [held for held in kept(found) if _has(held, status)]

    async def _take(self, steps: Steps[T]) -> T:
        return await arun(self._async_client or self._client, steps)


def _has(held: Kept, status: MessageStatus | None) -> bool:
    return status is None or held.archived == (status is ARCHIVED)


def _retracting(session_id: str, every: Sequence[Kept], gone: Sequence[Kept]) -> Steps[None]:
    return retracted(session_id, [span_of(every, held) for held in gone], "messages deleted")
