"""An ADK agent whose sessions, state and memory are kept in Turnlog. Offline: the model follows a script.

turnlog up
pip install 'turnlog[google-adk]'
python with_google_adk.py [http://127.0.0.1:8080]
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.tools import ToolContext
from google.genai import types

from turnlog_client import AsyncClient
from turnlog_client.frameworks.google_adk import TurnlogMemoryService, TurnlogSessionService


class Script(BaseLlm):
    """Stands for a language model: it asks for a seat, then says which one it got."""

    model: str = "script"

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """One answer."""
        part = (llm_request.contents[-1].parts or [])[-1]
        if part.function_response and part.function_response.response:
            said = types.Part(text=f"Seat {part.function_response.response['seat']} it is.")
        else:
            said = types.Part(function_call=types.FunctionCall(name="choose_seat", args={"kind": "window"}))
        yield LlmResponse(content=types.Content(role="model", parts=[said]))


def choose_seat(kind: str, tool_context: ToolContext) -> dict[str, str]:
    """Choose a seat."""
    tool_context.state["user:seat"] = f"12A ({kind})"
    return {"seat": f"12A ({kind})"}


async def main(url: str) -> None:
    """A run, and what is left of it for the next process."""
    app, user = f"travel-{uuid.uuid4().hex[:8]}", "ana"
    async with AsyncClient(url) as client:
        sessions = TurnlogSessionService(client)
        session = await sessions.create_session(app_name=app, user_id=user)
        agent = LlmAgent(name="planner", model=Script(), tools=[choose_seat])
        runner = Runner(
            app_name=app, agent=agent, session_service=sessions, memory_service=TurnlogMemoryService(client)
        )
        message = types.Content(role="user", parts=[types.Part(text="A quiet seat, please.")])
        async for event in runner.run_async(user_id=user, session_id=session.id, new_message=message):
            if event.is_final_response() and event.content and event.content.parts:
                print(f"{event.author}: {event.content.parts[0].text}")
    async with AsyncClient(url) as client:
        found = await TurnlogSessionService(client).get_session(app_name=app, user_id=user, session_id=session.id)
        assert found is not None
        print(f"after a restart: {len(found.events)} events, state {found.state}")
        memories = await TurnlogMemoryService(client).search_memory(app_name=app, user_id=user, query="which 12A?")
        for memory in memories.memories:
            print("remembered:", (memory.content.parts or [])[0].text)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
