"""Sessions of the OpenAI Agents SDK on a running system: the cases its own sessions are held to, and ours."""

import asyncio
import json
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import Session, SessionSettings

from frameworks.scripted_model import ScriptedModel, calls, says
from turnlog_client import AsyncClient, Client, as_id
from turnlog_client.frameworks.openai_agents import TurnlogSession

QUIET = RunConfig(tracing_disabled=True)


@pytest.fixture(params=["async client", "client"])
async def session(request: pytest.FixtureRequest, client: Client, aclient: AsyncClient, name: str) -> TurnlogSession:
    """A session over either client."""
    return TurnlogSession(name, aclient if request.param == "async client" else client)


def said(*texts: str) -> list[Any]:
    return [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(texts)]


def contents(items: list[Any]) -> list[Any]:
    return [item["content"] for item in items]


def test_it_is_what_the_sdk_calls_a_session(client: Client) -> None:
    assert isinstance(TurnlogSession("s", client), Session)


async def test_items_come_back_in_order_and_vanish_when_cleared(session: TurnlogSession) -> None:
    assert await session.get_items() == []
    await session.add_items([])
    await session.add_items(said("Hello", "Hi there!"))
    await session.add_items(said("How are you?"))
    assert await session.get_items() == [*said("Hello", "Hi there!"), *said("How are you?")]
    await session.clear_session()
    assert await session.get_items() == []
    assert await session.pop_item() is None
    await session.add_items(said("Again"))
    assert await session.get_items() == said("Again")


async def test_the_latest_items_are_popped_one_by_one(session: TurnlogSession) -> None:
    assert await session.pop_item() is None
    await session.clear_session()
    items = said("a", "b", "c")
    await session.add_items(items)
    assert await session.pop_item() == items[2]
    assert await session.get_items() == items[:2]
    await session.add_items(said("d"))
    assert [await session.pop_item() for _ in range(4)] == [said("d")[0], items[1], items[0], None]
    assert await session.get_items() == []


async def test_a_limit_gives_the_latest_in_order(session: TurnlogSession) -> None:
    await session.add_items(said("1", "2", "3", "4", "5", "6"))
    assert contents(await session.get_items(limit=2)) == ["5", "6"]
    assert contents(await session.get_items(limit=6)) == ["1", "2", "3", "4", "5", "6"]
    assert contents(await session.get_items(limit=10)) == ["1", "2", "3", "4", "5", "6"]
    assert await session.get_items(limit=0) == await session.get_items(limit=-1) == []
    limited = TurnlogSession(session.session_id, session._client, session_settings={"limit": 3})
    assert contents(await limited.get_items()) == ["4", "5", "6"]
    assert contents(await limited.get_items(limit=1)) == ["6"]


async def test_limits_and_pops_count_items_however_many_turns_they_take(session: TurnlogSession) -> None:
    big = {
        "type": "image_generation_call",
        "id": "ig",
        "result": "".join(chr(33 + n % 90) + str(n) for n in range(60_000)),
    }
    await session.add_items([*said("a"), big, *said("b"), big])
    assert await session.get_items(limit=3) == [big, *said("b"), big]
    assert await session.get_items() == [*said("a"), big, *said("b"), big]
    assert await session.pop_item() == big
    assert contents([await session.pop_item()]) == ["b"]
    assert await session.get_items() == [*said("a"), big]


async def test_long_conversations_are_read_over_many_pages(session: TurnlogSession) -> None:
    items = said(*(str(n) for n in range(1_050)))
    await session.add_items(items)
    assert await session.get_items() == items
    assert await session.get_items(limit=450) == items[-450:]


async def test_a_read_in_another_process_misses_nothing(system: Any, session: TurnlogSession) -> None:
    """Twenty times over: a read model that is a moment behind would show."""
    with Client(system.url) as elsewhere:
        other = TurnlogSession(session.session_id, elsewhere)
        for n in range(20):
            await session.add_items(said(str(n)))
            assert contents(await other.get_items(limit=1)) == [str(n)]
            await other.pop_item()
            assert await session.get_items() == []


async def test_concurrent_adds_all_stay_and_each_stays_together(session: TurnlogSession) -> None:
    await asyncio.gather(*(session.add_items(said(f"{n}a", f"{n}b", f"{n}c")) for n in range(20)))
    found = contents(await session.get_items())
    assert sorted(found) == sorted(f"{n}{x}" for n in range(20) for x in "abc")
    assert [found[n : n + 3] for n in range(0, 60, 3)] == [[f"{c[:-1]}{x}" for x in "abc"] for c in found[::3]]


async def test_no_two_pops_return_the_same_item(client: Client, aclient: AsyncClient, name: str) -> None:
    sessions = [TurnlogSession(name, aclient), TurnlogSession(name, client)]
    await sessions[0].add_items(said(*map(str, range(12))))
    popped = await asyncio.gather(*(sessions[n % 2].pop_item() for n in range(12)))
    assert sorted(int(item["content"]) for item in popped if item) == list(range(12))  # type: ignore[typeddict-item]
    assert await sessions[0].get_items() == []


async def test_sessions_do_not_meet_whatever_they_are_called(client: Client, name: str) -> None:
    names = [
        f"{name} x",
        f"{name}+x",
        f"{name}/x",
        f"{name}#x",
        f"{name}%20x",
        f"{name}\nx",
        f"{name}日",
        name + "y" * 300,
    ]
    sessions = [TurnlogSession(each, client) for each in names]
    for session in sessions:
        await session.add_items(said(session.session_id, "emoji 🙂 and \u2028 and café"))
    for session in sessions:
        assert contents(await session.get_items()) == [session.session_id, "emoji 🙂 and \u2028 and café"]
        assert client.session(as_id(session.session_id))["version"] == 2


async def test_a_cancelled_add_is_ended_first(session: TurnlogSession) -> None:
    adding = asyncio.ensure_future(session.add_items(said("kept")))
    await asyncio.sleep(0)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert contents(await session.get_items()) == ["kept"]


async def test_what_is_hidden_stays_in_the_history(session: TurnlogSession, client: Client) -> None:
    await session.add_items(said("secret", "ok"))
    await session.clear_session()
    mine = [event for event in client.log_events() if event["session_id"] == session.turnlog_id]
    assert [event["type"] for event in mine] == ["MemoryTurnStored", "MemoryTurnStored", "TurnsRetracted"]


async def test_agent_and_user_are_on_every_turn(client: Client, name: str) -> None:
    session = TurnlogSession(name, client, agent_id=f"agent-{name}", user_id=f"user-{name}")
    await session.add_items(said("hello"))
    assert [found["session_id"] for found in client.sessions(user_id=f"user-{name}")] == [name]
    assert client.session(name)["agents"] == [f"agent-{name}"]


async def test_without_a_client_it_has_one_of_its_own(system: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNLOG_URL", system.url)
    async with TurnlogSession(name) as session:
        await session.add_items(said("hello"))
        assert contents(await session.get_items()) == ["hello"]


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def ran_sync(agent: Agent[Any], words: str, **more: Any) -> Any:
    """`run_sync` in a thread; the loop it leaves there is closed."""
    try:
        return Runner.run_sync(agent, words, **more)
    finally:
        asyncio.get_event_loop_policy().get_event_loop().close()


async def ran(how: str, agent: Agent[Any], words: str, **more: Any) -> Any:
    """Run the agent in one of the ways there are."""
    if how == "run_sync":
        return await asyncio.to_thread(ran_sync, agent, words, **more)
    if how == "run_streamed":
        result = Runner.run_streamed(agent, words, **more)
        async for _ in result.stream_events():
            pass
        return result
    return await Runner.run(agent, words, **more)


@pytest.mark.parametrize("how", ["run", "run_sync", "run_streamed"])
async def test_an_agent_remembers_what_was_said_and_which_tools_were_used(how: str, client: Client, name: str) -> None:
    model = ScriptedModel(calls("weather", '{"city":"Lisbon"}'), says("Sunny."), says("You asked for Lisbon."))
    agent = Agent(name="travel", model=model, tools=[weather])
    session = TurnlogSession(name, client)
    assert (await ran(how, agent, "How is Lisbon?", session=session, run_config=QUIET)).final_output == "Sunny."
    again = TurnlogSession(name, client)
    result = await ran(how, agent, "What did I ask?", session=again, run_config=QUIET)
    assert result.final_output == "You asked for Lisbon."
    kinds = [item.get("type", item.get("role")) for item in model.given[-1]]
    assert kinds == ["user", "reasoning", "function_call", "function_call_output", "message", "user"]
    assert model.given[-1][2]["arguments"] == '{"city":"Lisbon"}'
    assert model.given[-1][3]["output"] == "sunny in Lisbon"
    assert model.given[-1][1]["encrypted_content"] == "e" * 20_000


async def test_a_run_may_limit_what_is_remembered(client: Client, name: str) -> None:
    model = ScriptedModel(*(says(f"Reply {n}") for n in range(1, 5)))
    agent, session = Agent(name="travel", model=model), TurnlogSession(name, client)
    for n in range(1, 4):
        await Runner.run(agent, f"Message {n}", session=session, run_config=QUIET)
    limited = RunConfig(tracing_disabled=True, session_settings=SessionSettings(limit=2))
    await Runner.run(agent, "Message 4", session=session, run_config=limited)
    assert model.given[-1][0]["content"] == "Message 3"
    assert model.given[-1][1]["content"][0]["text"] == "Reply 3"
    assert len(model.given[-1]) == 3


async def test_the_conversation_is_read_by_everything_else_too(client: Client, name: str) -> None:
    """A context has the talk and the tools, no packed pieces; and what another program stored, the agent reads."""
    model = ScriptedModel(calls("weather", '{"city":"Lisbon"}'), says("Sunny."), says("Yes."))
    agent, session = Agent(name="travel", model=model, tools=[weather]), TurnlogSession(name, client)
    await Runner.run(agent, "How is Lisbon?", session=session, run_config=QUIET)
    messages = client.context(name, max_tokens=2_000)["messages"]
    assert [m["role"] for m in messages if m["content"] != [{"type": "text", "text": ""}]] == [
        "user", "assistant", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert "e" * 100 not in json.dumps(messages)
    assert (messages[0]["content"], messages[-1]["content"]) == ("How is Lisbon?", "Sunny.")
    client.store(name, "user", "I moved to Porto.")
    await Runner.run(agent, "Do you know?", session=session, run_config=QUIET)
    assert {"role": "user", "content": "I moved to Porto."} in model.given[-1]
