"""An agent of the OpenAI Agents SDK that remembers: over runs, processes and restarts of everything.

    turnlog up                                                  # in another terminal
    python with_openai_agents.py "My flight to Lisbon is on Friday."
    python with_openai_agents.py "When is my flight?"           # later, from anywhere

It runs offline: instead of a model there is a script that looks for an answer in what it was given. With
`Agent(..., model="gpt-…")` the rest stays as it is.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage
from agents.items import TResponseInputItem, TResponseStreamEvent
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from turnlog_client import AsyncClient
from turnlog_client.frameworks.openai_agents import TurnlogSession


class Recalling(Model):
    """Answers a question with the first thing the user said, and shows what it was given."""

    async def get_response(
        self, system_instructions: str | None, input: str | list[TResponseInputItem], *args: Any, **kwargs: Any
    ) -> ModelResponse:
        said = [item["content"] for item in input if isinstance(item, dict) and item.get("role") == "user"]
        print(f"the model is given {len(input)} items")
        answer = f"You told me: {said[0]}" if str(said[-1]).endswith("?") else "I will remember that."
        text = ResponseOutputText(type="output_text", text=answer, annotations=[])
        message = ResponseOutputMessage(
            id="msg_1", type="message", role="assistant", status="completed", content=[text]
        )
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        raise NotImplementedError("this example does not stream")


async def main(session_id: str, *messages: str) -> None:
    """Say each message to the agent."""
    agent = Agent(name="travel", instructions="Help with travel.", model=Recalling())
    async with AsyncClient() as client:  # TURNLOG_URL and TURNLOG_API_KEY, or this machine
        session = TurnlogSession(session_id, client, agent_id="travel", user_id="ana")
        for message in messages:
            result = await Runner.run(agent, message, session=session, run_config=RunConfig(tracing_disabled=True))
            print(f"> {message}\n{result.final_output}")


if __name__ == "__main__":
    asyncio.run(main("trip to Lisbon", *(sys.argv[1:] or ["My flight to Lisbon is on Friday.", "When is my flight?"])))
