"""ADK's memory service on Turnlog, and a real runner with a scripted model on both services."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from google.adk.agents import LlmAgent
from google.adk.events.event import Event
from google.adk.memory.base_memory_service import BaseMemoryService
from google.adk.memory.in_memory_memory_service import InMemoryMemoryService
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools import ToolContext, load_memory
from google.genai import types

from turnlog_client import AsyncClient
from turnlog_client.frameworks.google_adk import TurnlogMemoryService, TurnlogSessionService


def event(text: str, author: str = "user", **more: Any) -> Event:
    return Event(author=author, content=types.Content(role="user", parts=[types.Part(text=text)]), **more)


@pytest.fixture
def ours(aclient: AsyncClient) -> TurnlogMemoryService:
    return TurnlogMemoryService(aclient)


@pytest.fixture(params=["in memory", "turnlog"])
def memory(request: pytest.FixtureRequest, ours: TurnlogMemoryService) -> BaseMemoryService:
    return InMemoryMemoryService() if request.param == "in memory" else ours


@pytest.fixture
def app() -> str:
    return f"app-{uuid.uuid4().hex[:8]}"


async def found(memory: BaseMemoryService, app: str, query: str, user: str = "ana") -> list[str]:
    answer = await memory.search_memory(app_name=app, user_id=user, query=query)
    return [m.content.parts[0].text or "" for m in answer.memories if m.content.parts]


async def session_of(app: str, user: str, *texts: str, name: str = "s1") -> Any:
    service = InMemorySessionService()
    session = await service.create_session(app_name=app, user_id=user, session_id=name)
    for text in texts:
        await service.append_event(session, event(text))
    return session


async def test_what_was_said_is_found_by_its_words(memory: BaseMemoryService, app: str) -> None:
    session = await session_of(app, "ana", "I like window seats.", "The flight leaves on Friday.", "私はPythonを使う")
    await memory.add_session_to_memory(session)
    await memory.add_session_to_memory(session)
    assert await found(memory, app, "Which SEATS?") == ["I like window seats."]
    assert await found(memory, app, "python") == ["私はPythonを使う"]
    assert await found(memory, app, "使う") == ["私はPythonを使う"]
    assert await found(memory, app, "thon sea") == []
    assert await found(memory, app, "") == []
    assert await found(memory, app, "seats", user="ben") == []
    assert await found(memory, f"{app}-2", "seats") == []


async def test_the_ten_that_share_most_come_first(memory: BaseMemoryService, app: str) -> None:
    texts = [*(f"the seat {n}" for n in range(12)), "the best window seat"]
    await memory.add_session_to_memory(await session_of(app, "ana", *texts))
    answers = await found(memory, app, "the window seat")
    assert answers[0] == texts[-1]
    assert answers[1:] == texts[:9]


async def test_events_can_be_added_alone(memory: BaseMemoryService, app: str) -> None:
    first, second = event("a lamp"), event("a table")
    asked = {"app_name": app, "user_id": "ana"}
    await memory.add_events_to_memory(**asked, events=[first], session_id="s1")
    await memory.add_events_to_memory(**asked, events=[first, second, Event(author="user")], session_id="s1")
    await memory.add_events_to_memory(**asked, events=[event("a chair")])
    assert sorted(await found(memory, app, "a")) == ["a chair", "a lamp", "a table"]
    answer = await memory.search_memory(**asked, query="lamp")
    assert (answer.memories[0].id, answer.memories[0].author) == (first.id, "user")


async def test_a_search_reads_no_more_than_it_may(aclient: AsyncClient, app: str) -> None:
    everything = TurnlogMemoryService(aclient)
    await everything.add_session_to_memory(await session_of(app, "ana", *(f"seat {n}" for n in range(8)), name="old"))
    await everything.add_session_to_memory(await session_of(app, "ana", "seat 8", "seat 9", name="new"))
    assert len(await found(everything, app, "seat")) == 10
    assert await found(TurnlogMemoryService(aclient, searched_sessions=1), app, "seat") == ["seat 8", "seat 9"]
    some = await found(TurnlogMemoryService(aclient, searched_turns=5), app, "seat")
    assert some == ["seat 8", "seat 9", "seat 6", "seat 7"]


class ScriptedModel(BaseLlm):
    """Calls the tool that the script names, then says what it got."""

    model: str = "scripted"
    tool: str

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        part = (llm_request.contents[-1].parts or [])[-1]
        if part.function_response:
            said = types.Part(text=f"I found: {part.function_response.response}")
        else:
            args = {"query": part.text} if self.tool == "load_memory" else {"kind": "window"}
            said = types.Part(function_call=types.FunctionCall(name=self.tool, args=args))
        yield LlmResponse(content=types.Content(role="model", parts=[said]))


def seat(kind: str, tool_context: ToolContext) -> dict[str, str]:
    """Choose a seat."""
    tool_context.state["user:seat"] = kind
    tool_context.state["temp:asked"] = True
    return {"seat": f"12A ({kind})"}


async def test_a_real_runner_keeps_its_session_and_remembers_it(aclient: AsyncClient, app: str) -> None:
    sessions, memory = TurnlogSessionService(aclient), TurnlogMemoryService(aclient)

    async def run(tool: Any, session_id: str, text: str) -> list[Event]:
        name = tool.name if hasattr(tool, "name") else tool.__name__
        agent = LlmAgent(name="planner", model=ScriptedModel(tool=name), tools=[tool])
        runner = Runner(app_name=app, agent=agent, session_service=sessions, memory_service=memory)
        message = types.Content(role="user", parts=[types.Part(text=text)])
        return [e async for e in runner.run_async(user_id="ana", session_id=session_id, new_message=message)]

    asked = {"app_name": app, "user_id": "ana"}
    first = await sessions.create_session(**asked)
    events = await run(seat, first.id, "A quiet seat, please.")
    stored = await sessions.get_session(**asked, session_id=first.id)
    assert stored is not None
    assert stored.events[1:] == events
    assert [e.author for e in stored.events] == ["user", "planner", "planner", "planner"]
    assert stored.state == {"user:seat": "window"}

    second = await sessions.create_session(**asked)
    assert second.state == {"user:seat": "window"}
    events = await run(load_memory, second.id, "quiet")
    answer = events[-1].content
    assert answer is not None
    assert "A quiet seat, please." in str(answer.parts)
