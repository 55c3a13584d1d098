"""LlamaIndex's chat stores: the same cases over its own stores and ours, and real memories on ours."""

import asyncio
import threading
import uuid
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import BaseChatStore, SimpleChatStore
from llama_index.core.storage.chat_store.base_db import MessageStatus

from framework_examples import printed
from system import until
from turnlog_client import AsyncClient, Client
from turnlog_client.frameworks.history import appended
from turnlog_client.frameworks.items import TurnTooLarge
from turnlog_client.frameworks.llama_index import TurnlogChatStore, TurnlogMemoryStore
from turnlog_client.frameworks.llama_index.messages import turns_of
from turnlog_client.frameworks.names import id_of
from turnlog_client.steps import run


def says(text: str, role: MessageRole = MessageRole.USER, **more: Any) -> ChatMessage:
    return ChatMessage(role=role, content=text, **more)


THREE = [says("one"), says("two", MessageRole.ASSISTANT), says("three")]
TOOL_USE = [
    says("look"),
    ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=[
            ThinkingBlock(content="hm"),
            TextBlock(text="I look."),
            ToolCallBlock(tool_call_id="t1", tool_name="look", tool_kwargs={"far": 1.0, "where": None, "big": 2**60}),
        ],
    ),
    says("nul \0 seen", MessageRole.TOOL, additional_kwargs={"tool_call_id": "t1", "name": "look"}),
    ChatMessage(
        role=MessageRole.ASSISTANT,
        content=None,
        additional_kwargs={
            "tool_calls": [{"id": "t2", "type": "function", "function": {"name": "read", "arguments": '{"page": 3}'}}]
        },
    ),
    says("A long result. " * 2_000, MessageRole.TOOL, additional_kwargs={"tool_call_id": "t2"}),
    ChatMessage(role=MessageRole.USER, blocks=[TextBlock(text="and"), ImageBlock(url="https://example.org/a.png")]),
    says("", MessageRole.ASSISTANT),
    says("obey", MessageRole.DEVELOPER),
]


@pytest.fixture
def ours(client: Client) -> TurnlogChatStore:
    return TurnlogChatStore(client, agent_id=f"agent-{uuid.uuid4().hex[:8]}")


@pytest.fixture(params=["in memory", "turnlog"])
def store(request: pytest.FixtureRequest, ours: TurnlogChatStore) -> BaseChatStore:
    return SimpleChatStore() if request.param == "in memory" else ours


@pytest.fixture
def key() -> str:
    return f"Ana / trip {uuid.uuid4().hex}"


def test_messages_are_added_read_and_deleted(store: BaseChatStore, key: str) -> None:
    assert store.get_messages(key) == []
    assert store.delete_messages(key) is None
    assert store.delete_message(key, 0) is None
    assert store.delete_last_message(key) is None
    for message in THREE:
        store.add_message(key, message)
    assert store.get_messages(key) == THREE
    assert store.delete_message(key, 3) is None
    assert store.delete_message(key, 1) == THREE[1]
    assert store.get_messages(key) == [THREE[0], THREE[2]]
    assert store.delete_last_message(key) == THREE[2]
    store.add_message(key, says("four"))
    assert store.get_messages(key) == [THREE[0], says("four")]
    assert store.delete_messages(key) == [THREE[0], says("four")]
    assert store.get_messages(key) == []
    store.add_message(key, says("anew"))
    assert store.get_messages(key) == [says("anew")]


def test_setting_replaces_everything(store: BaseChatStore, key: str) -> None:
    store.set_messages(key, list(THREE))
    store.set_messages(key, [THREE[2], THREE[0]])
    store.add_message(key, says("more"))
    assert store.get_messages(key) == [THREE[2], THREE[0], says("more")]
    store.set_messages(key, [])
    assert store.get_messages(key) == []


def test_a_replaced_history_stays_away_though_its_replacement_goes(ours: TurnlogChatStore, key: str) -> None:
    ours.set_messages(key, list(THREE))
    turns = turns_of([says("new")], ours.agent_id, starts=True)
    run(ours._client, appended(id_of(key, "key"), turns))  # as if the process had died before the retraction
    assert ours.get_messages(key) == [says("new")]
    assert ours.delete_message(key, 0) == says("new")
    assert ours.get_messages(key) == []


def test_keys_are_those_with_messages(store: BaseChatStore) -> None:
    names = [f"{name} {uuid.uuid4().hex}" for name in ("a/b", "ü:1", "..")]
    for name in names:
        store.add_message(name, says("hello"))
    assert sorted(store.get_keys()) == sorted(names)
    store.delete_messages(names[0])
    assert sorted(store.get_keys()) == sorted(names[1:])


@pytest.mark.parametrize("native", [False, True], ids=["in a thread", "natively"])
async def test_the_async_methods_do_the_same(
    ours: TurnlogChatStore, aclient: AsyncClient, key: str, native: bool
) -> None:
    store = TurnlogChatStore(ours._client, aclient if native else None, agent_id=ours.agent_id)
    await store.aset_messages(key, THREE[:2])
    await store.async_add_message(key, THREE[2])
    assert await store.aget_messages(key) == THREE
    assert await store.adelete_message(key, 0) == THREE[0]
    assert await store.adelete_last_message(key) == THREE[2]
    assert await store.aget_keys() == [key]
    assert await store.adelete_messages(key) == [THREE[1]]
    assert await store.aget_messages(key) == []


@pytest.mark.parametrize("message", TOOL_USE, ids=range(len(TOOL_USE)))
def test_every_message_comes_back_exactly(ours: TurnlogChatStore, key: str, message: ChatMessage) -> None:
    ours.add_message(key, message)
    assert [m.model_dump(mode="json") for m in ours.get_messages(key)] == [message.model_dump(mode="json")]


def test_what_is_read_is_the_conversation(ours: TurnlogChatStore, client: Client, key: str) -> None:
    for message in TOOL_USE:
        ours.add_message(key, message)
    [row] = client.sessions(agent_id=ours.agent_id)
    turns = client.turns(row["session_id"], min_version=len(TOOL_USE))["turns"]
    assert [t["role"] for t in turns] == [
        "user", "assistant", "tool", "assistant", "tool", "user", "assistant", "system"
    ]  # fmt: skip
    assert "metadata" not in turns[0]
    assert turns[2]["content"] == "nul ␀ seen"
    said = client.context(row["session_id"], format="openai", max_tokens=50_000)["messages"]
    assert [m["role"] for m in said if m["role"] == "tool"] == ["tool", "tool"]
    assert "llama_index.item" not in str(said)


def test_replaced_messages_leave_contexts_too(ours: TurnlogChatStore, client: Client, key: str) -> None:
    ours.set_messages(key, [says("a secret wish")])
    ours.set_messages(key, [says("nothing special")])
    [row] = client.sessions(agent_id=ours.agent_id)
    until(lambda: "secret" not in str(client.context(row["session_id"], min_version=2)), "the old message is gone")
    events = [e for e in client.log_events() if e["session_id"] == row["session_id"]]
    assert [e["type"] for e in events] == ["MemoryTurnStored", "MemoryTurnStored", "TurnsRetracted"]


def test_turns_of_others_are_plain_messages(ours: TurnlogChatStore, client: Client) -> None:
    name = f"plain-{uuid.uuid4().hex}"
    client.store(name, "user", [{"type": "text", "text": "by curl"}])
    assert ours.get_messages(name) == [says("by curl")]


def test_writers_at_the_same_time_lose_nothing(ours: TurnlogChatStore, key: str) -> None:
    threads = [threading.Thread(target=ours.add_message, args=(key, says(f"m{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(m.content) for m in ours.get_messages(key)) == [f"m{n}" for n in range(8)]


def test_what_cannot_be_kept_is_refused_with_what_to_do(ours: TurnlogChatStore, key: str) -> None:
    with pytest.raises(TurnTooLarge, match="keep large content"):
        ours.add_message(key, says("x" * 300_000))
    with pytest.raises(ValueError, match="key takes"):
        ours.add_message("ü" * 100, says("x"))
    with pytest.raises(ValueError, match="key must not be empty"):
        ours.get_messages("")


def test_a_chat_engine_remembers_through_a_buffer(ours: TurnlogChatStore, key: str) -> None:
    for question in ("A window seat, please.", "Which seat?"):
        memory = ChatMemoryBuffer.from_defaults(chat_store=ours, chat_store_key=key, tokenizer_fn=str.split)
        engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
        engine.chat(question)
    said = [str(message.content) for message in ours.get_messages(key)]
    assert (said[0], said[2]) == ("A window seat, please.", "Which seat?")
    assert len(said) == 4
    assert "A window seat, please." in said[3]


@pytest.fixture(params=["in a thread", "natively"])
def statuses(request: pytest.FixtureRequest, client: Client, aclient: AsyncClient) -> TurnlogMemoryStore:
    native = aclient if request.param == "natively" else None
    return TurnlogMemoryStore(client, native, agent_id=f"agent-{uuid.uuid4().hex[:8]}")


async def test_messages_are_archived_and_deleted_by_status(statuses: TurnlogMemoryStore, key: str) -> None:
    five = [says(str(n)) for n in range(5)]
    await statuses.add_messages(key, five)
    assert await statuses.archive_oldest_messages(key, 2) == five[:2]
    assert await statuses.get_messages(key) == five[2:]
    assert await statuses.get_messages(key, status=MessageStatus.ARCHIVED) == five[:2]
    assert await statuses.get_messages(key, status=None, limit=2, offset=1) == five[1:3]
    await statuses.add_message(key, says("old"), MessageStatus.ARCHIVED)
    assert await statuses.count_messages(key, MessageStatus.ARCHIVED) == 3
    assert await statuses.delete_oldest_messages(key, 1) == five[2:3]
    assert await statuses.archive_oldest_messages(key, 1) == five[3:4]
    await statuses.delete_messages(key, MessageStatus.ARCHIVED)
    assert await statuses.get_messages(key, status=None) == five[4:]
    assert await statuses.get_keys() == [key]
    assert await statuses.delete_message(key, 999) is None
    assert await statuses.delete_message(key, 5) == five[4]
    await statuses.set_messages(key, five[:2], MessageStatus.ARCHIVED)
    assert await statuses.count_messages(key) == 0
    assert await statuses.count_messages(key, None) == 2
    await statuses.set_messages(key, [])
    assert await statuses.get_keys() == []
    await statuses.add_message(key, five[0])
    await statuses.archive_oldest_messages(key, 1)
    await statuses.delete_messages(key, MessageStatus.ARCHIVED)
    assert await statuses.get_keys() == []
    assert await statuses.archive_oldest_messages(key, 1) == []


async def test_archiving_twice_at_once_archives_each_message_once(statuses: TurnlogMemoryStore, key: str) -> None:
    await statuses.add_messages(key, [says(str(n)) for n in range(4)])
    found = await asyncio.gather(*(statuses.archive_oldest_messages(key, 1) for _ in range(4)))
    assert sorted(str(messages[0].content) for messages in found) == ["0", "1", "2", "3"]


async def test_a_memory_flushes_its_oldest_messages_into_the_archive(statuses: TurnlogMemoryStore, key: str) -> None:
    def memory() -> Memory:
        return Memory.from_defaults(
            session_id=key,
            chat_store=statuses,
            token_limit=40,
            token_flush_size=10,
            tokenizer_fn=lambda text: text.split(),
        )

    for n in range(8):
        await memory().aput(says(f"question {n} " + "word " * 5))
        await memory().aput(says(f"answer {n}", MessageRole.ASSISTANT))
    active, everything = await memory().aget(), await memory().aget_all()
    assert len(everything) == 16
    assert 0 < len(active) < 16
    assert active == everything[-len(active) :]
    await memory().areset()
    assert await memory().aget_all() == []


def test_the_example_runs(turnlog_url: str) -> None:
    lines = printed("with_llama_index.py", turnlog_url).splitlines()
    assert lines[:2] == ["after a restart the model is given:", "user: A window seat, please."]
    assert "user: Which seat?" in lines
