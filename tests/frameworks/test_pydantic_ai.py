"""pydantic-ai's conversation store: the same cases over its in-memory store and ours, and what only ours does."""

import asyncio
import uuid
from typing import Any

import pytest
from pydantic_ai import Agent, ModelMessagesTypeAdapter
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationStore, InMemoryConversationStore
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from framework_examples import printed
from turnlog_client import AsyncClient
from turnlog_client.frameworks.items import TurnTooLarge
from turnlog_client.frameworks.pydantic_ai import TurnlogConversationStore

Messages = list[ModelMessage]


def says(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(content=text)])


def answers(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(content=text)])


def dialogue(count: int) -> Messages:
    return [says(f"question {n}") if n % 2 == 0 else answers(f"answer {n}") for n in range(count)]


def fresh(messages: Messages, **more: Any) -> Conversation:
    return Conversation(messages=messages, conversation_id=f"c-{uuid.uuid4().hex}", **more)


@pytest.fixture
def ours(aclient: AsyncClient) -> TurnlogConversationStore:
    return TurnlogConversationStore(aclient, agent_id=f"agent-{uuid.uuid4().hex[:8]}")


@pytest.fixture(params=["in memory", "turnlog"])
def store(request: pytest.FixtureRequest, ours: TurnlogConversationStore) -> ConversationStore:
    return InMemoryConversationStore() if request.param == "in memory" else ours


async def reloaded(store: ConversationStore, conversation: Conversation) -> Conversation:
    found = await store.load(conversation.conversation_id)
    assert found is not None
    return found


async def test_what_is_saved_is_loaded(store: ConversationStore) -> None:
    usage = RunUsage(requests=2, input_tokens=31, output_tokens=7, tool_calls=1, details={"cached": 4})
    saved = fresh(dialogue(4), usage=usage)
    assert await store.load(saved.conversation_id) is None
    entries = await store.save(saved)
    found = await reloaded(store, saved)
    assert (found.messages, found.usage, found.revision) == (saved.messages, usage, saved.revision)
    listed = await store.load_entries(saved.conversation_id)
    assert listed == entries
    assert [entry.parent_id for entry in entries] == [None, *(entry.id for entry in entries[:-1])]
    assert [e.message for e in await store.load_entries(saved.conversation_id, limit=3) or []] == saved.messages[1:]


async def test_a_save_adds_what_is_new_and_nothing_twice(store: ConversationStore) -> None:
    conversation = fresh(dialogue(2))
    await store.save(conversation)
    again = await reloaded(store, conversation)
    again.messages += dialogue(2)
    assert len(await store.save(again)) == 2
    assert await store.save(again) == []
    assert (await reloaded(store, conversation)).messages == again.messages


async def test_of_two_savers_the_later_is_told(store: ConversationStore) -> None:
    conversation = fresh(dialogue(2))
    await store.save(conversation)
    first, second = await reloaded(store, conversation), await reloaded(store, conversation)
    first.messages.append(says("mine"))
    second.messages.append(says("no, mine"))
    await store.save(first)
    with pytest.raises(ConversationConflict):
        await store.save(second)
    with pytest.raises(ConversationConflict):
        await store.save(Conversation(messages=dialogue(2), conversation_id=conversation.conversation_id))
    assert (await reloaded(store, conversation)).messages == first.messages


async def test_a_branch_leaves_the_old_history_and_can_go_back(store: ConversationStore) -> None:
    conversation = fresh(dialogue(4))
    old = await store.save(conversation)
    name = conversation.conversation_id
    branched = await store.branch(name, at=2, expected_revision=conversation.revision)
    branched.messages += [says("otherwise"), answers("so")]
    await store.save(branched)
    assert (await reloaded(store, conversation)).messages == branched.messages
    record = (await store.list_conversations())[0]
    assert record.branches == [old[-1].id]
    back = await store.branch(name, from_entry=old[-1].id, expected_revision=branched.revision)
    assert back.messages == conversation.messages
    with pytest.raises(UserError):
        await store.branch(name, from_entry="nowhere", expected_revision=back.revision)


async def test_a_rewritten_history_branches_off_the_shared_part(store: ConversationStore) -> None:
    conversation = fresh(dialogue(4))
    await store.save(conversation)
    rewritten = await reloaded(store, conversation)
    rewritten.messages = [*rewritten.messages[:1], answers("shorter")]
    assert len(await store.save(rewritten)) == 1
    found = await reloaded(store, conversation)
    assert found.messages == rewritten.messages


async def test_a_fork_goes_its_own_way_and_outlives_its_source(store: ConversationStore) -> None:
    source = fresh(dialogue(4))
    entries = await store.save(source)
    fork = await store.fork(source.conversation_id, at=3)
    assert fork.messages == source.messages[:3]
    fork.messages.append(answers("elsewhere"))
    await store.save(fork)
    assert (await reloaded(store, source)).messages == source.messages
    listed = {r.conversation_id: r for r in await store.list_conversations()}
    assert listed[fork.conversation_id].forked_from == source.conversation_id
    assert listed[fork.conversation_id].forked_at == entries[2].id
    await store.delete(source.conversation_id)
    assert await store.load(source.conversation_id) is None
    assert (await reloaded(store, fork)).messages == fork.messages
    with pytest.raises(ConversationConflict):
        await store.fork(fork.conversation_id, new_conversation_id=fork.conversation_id)


async def test_a_deleted_conversation_can_begin_anew(store: ConversationStore) -> None:
    conversation = fresh(dialogue(2))
    await store.save(conversation)
    await store.delete(conversation.conversation_id)
    assert await store.load(conversation.conversation_id) is None
    assert await store.list_conversations() == []
    with pytest.raises(ConversationConflict):
        await store.save(conversation)
    again = Conversation(messages=[says("hello again")], conversation_id=conversation.conversation_id)
    await store.save(again)
    assert (await reloaded(store, again)).messages == again.messages


async def test_conversations_are_listed_by_their_last_save_and_scope(store: ConversationStore) -> None:
    first, second, third = fresh(dialogue(2)), fresh(dialogue(2)), fresh(dialogue(2))
    for conversation, scope in ((first, "ana/1"), (second, "ana/1"), (third, "ben")):
        await store.save(conversation, scope=scope)
    first.messages.append(says("more"))
    await store.save(first)
    listed = await store.list_conversations(scope="ana/1")
    assert [r.conversation_id for r in listed] == [first.conversation_id, second.conversation_id]
    assert len(await store.list_conversations(limit=2)) == 2
    assert await store.load(first.conversation_id, scope="ben") is None
    await store.delete(third.conversation_id, scope="ana/1")
    assert await store.load(third.conversation_id, scope="ben") is not None


async def test_a_paused_run_keeps_what_it_waits_for(store: ConversationStore) -> None:
    call = ToolCallPart("pay", {"amount": 1.0, "account": 2**60}, tool_call_id="p1")
    waiting = DeferredToolRequests(approvals=[call], metadata={"p1": {"why": "above the limit"}})
    conversation = fresh([says("pay"), ModelResponse(parts=[call])], deferred_tool_requests=waiting)
    await store.save(conversation)
    assert (await reloaded(store, conversation)).deferred_tool_requests == waiting


async def test_every_kind_of_part_comes_back_exactly(ours: TurnlogConversationStore) -> None:
    long = "A long result. " * 2_000
    messages: Messages = [
        ModelRequest(
            parts=[
                SystemPromptPart("be kind"),
                UserPromptPart(["look", BinaryContent(b"\x00\xff", media_type="image/png")]),
            ]
        ),
        ModelResponse(
            parts=[
                ThinkingPart("hm", signature="s"),
                TextPart("I look."),
                ToolCallPart(
                    "look", {"where": "up", "far": 1.0, "big": 2**70, "odd": "nul \0 here", "a": 1}, tool_call_id="t1"
                ),
                ToolCallPart("read", '{"page": 3}', tool_call_id="t2"),
            ]
        ),
        ModelResponse(
            parts=[
                ToolCallPart("order", {"z": 1, "a": {"y": "ü", "b": [2]}}, tool_call_id="t3"),
            ]
        ),
        ModelRequest(
            parts=[
                ToolReturnPart("look", {"seen": ["sky", None, 1.0]}, tool_call_id="t1"),
                ToolReturnPart("read", long, tool_call_id="t2"),
            ]
        ),
        answers(""),
    ]
    conversation = fresh(messages)
    await ours.save(conversation)
    found = await reloaded(ours, conversation)
    assert ModelMessagesTypeAdapter.dump_json(found.messages) == ModelMessagesTypeAdapter.dump_json(messages)


async def test_a_real_agent_goes_on_where_it_stopped(ours: TurnlogConversationStore, aclient: AsyncClient) -> None:
    seen: list[int] = []

    def model(messages: Messages, info: AgentInfo) -> ModelResponse:
        seen.append(len(messages))
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            return answers(f"Seat {last.content} it is.")
        return ModelResponse(parts=[ToolCallPart("seat", {"kind": "window"}, tool_call_id=f"call-{len(messages)}")])

    agent = Agent(FunctionModel(model))

    @agent.tool_plain
    def seat(kind: str) -> str:
        return f"12A ({kind})"

    name = f"trip-{uuid.uuid4().hex}"
    result = await agent.run("A window seat, please.", conversation=Conversation(conversation_id=name))
    await ours.save(result)
    loaded = await ours.load(name)
    assert loaded is not None
    result = await agent.run("And one for Ben.", conversation=loaded)
    await ours.save(result)
    assert seen == [1, 3, 5, 7]
    final = await reloaded(ours, result.conversation)
    expected = ModelMessagesTypeAdapter.dump_json(result.all_messages())
    assert ModelMessagesTypeAdapter.dump_json(final.messages) == expected
    assert final.usage.tool_calls == 2

    turns = (await aclient.turns(name, limit=10))["turns"]
    assert [t["role"] for t in turns] == ["user", "assistant", "tool", "assistant"] * 2
    assert turns[2]["content"] == "12A (window)"
    context = await aclient.context(name, format="openai", min_version=turns[-1]["version"])
    assert context["messages"][1]["tool_calls"][0]["id"] == context["messages"][2]["tool_call_id"] == "call-1"
    assert context["messages"][-1] == {"role": "assistant", "content": "Seat 12A (window) it is."}


async def test_a_loaded_history_also_serves_as_message_history(ours: TurnlogConversationStore) -> None:
    agent = Agent(TestModel(custom_output_text="noted"))
    first = await agent.run("remember me")
    await ours.save(first)
    loaded = await ours.load(first.conversation.conversation_id)
    assert loaded is not None
    second = await agent.run("again", message_history=loaded.messages)
    assert second.all_messages()[:2] == first.all_messages()


async def test_an_entry_is_found_by_a_store_that_never_met_it(
    ours: TurnlogConversationStore, aclient: AsyncClient
) -> None:
    entries = await ours.save(fresh(dialogue(3)))
    other = TurnlogConversationStore(aclient, agent_id=ours._agent_id)
    assert await other.read_entry(entries[1].id) == entries[1]
    assert await other.read_history(entries[2].id, limit=2) == entries[1:]
    with pytest.raises(LookupError):
        await other.read_entry("unknown")


async def test_a_retracted_turn_is_not_in_the_history(ours: TurnlogConversationStore, aclient: AsyncClient) -> None:
    conversation = fresh(dialogue(4))
    await ours.save(conversation)
    await aclient.retract(conversation.conversation_id, 2, 2)

    async def without() -> Messages:
        while len(found := (await reloaded(ours, conversation)).messages) == 4:
            await asyncio.sleep(0)
        return found

    left = await asyncio.wait_for(without(), 10)
    assert left == [conversation.messages[0], *conversation.messages[2:]]


async def test_turns_of_others_in_between_disturb_nothing(ours: TurnlogConversationStore, aclient: AsyncClient) -> None:
    conversation = fresh(dialogue(2))
    await ours.save(conversation)
    for n in range(25):
        await aclient.store(conversation.conversation_id, "user", f"by somebody else {n}")
    conversation.messages.append(says("mine"))
    await ours.save(conversation)
    assert (await reloaded(ours, conversation)).messages == conversation.messages


async def test_a_long_history_is_saved_and_forked_whole(ours: TurnlogConversationStore) -> None:
    conversation = fresh(dialogue(1_300))
    await ours.save(conversation)
    fork = await ours.fork(conversation.conversation_id)
    assert (await reloaded(ours, fork)).messages == conversation.messages


async def test_a_message_beyond_a_turn_is_refused_with_what_to_do(ours: TurnlogConversationStore) -> None:
    conversation = fresh([says("x" * 300_000)])
    with pytest.raises(TurnTooLarge, match="keep large content"):
        await ours.save(conversation)
    assert await ours.load(conversation.conversation_id) is None
    with pytest.raises(ValueError, match="conversation_id takes 300 characters"):
        await ours.load("x" * 300)


def test_the_example_runs(turnlog_url: str) -> None:
    lines = printed("with_pydantic_ai.py", turnlog_url).splitlines()
    assert lines[0] == "first answer: I keep that in mind: a window seat."
    assert lines[1] == "after a restart: You wanted a window seat."
