"""An agent of pydantic-ai whose conversation is kept in Turnlog. Offline: the model is a function.

turnlog up
pip install 'turnlog[pydantic-ai]'
python with_pydantic_ai.py [http://127.0.0.1:8080]
"""

import asyncio
import sys
import uuid

from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from turnlog_client import AsyncClient
from turnlog_client.frameworks.pydantic_ai import TurnlogConversationStore


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stands for a language model: it looks for the wish in everything that was said."""
    said = [str(part.content) for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    if said[-1].startswith("I want "):
        answer = f"I keep that in mind: {said[-1].removeprefix('I want ')}"
    else:
        wishes = [text.removeprefix("I want ") for text in said if text.startswith("I want ")]
        answer = f"You wanted {wishes[-1]}" if wishes else "You wanted nothing yet."
    return ModelResponse(parts=[TextPart(answer)])


async def ask(url: str, conversation_id: str, question: str) -> str:
    """One turn of the conversation, as a web request would do it: load, run, save."""
    agent = Agent(FunctionModel(model))
    async with AsyncClient(url) as client:
        store = TurnlogConversationStore(client)
        conversation = await store.load(conversation_id) or Conversation(conversation_id=conversation_id)
        result = await agent.run(question, conversation=conversation)
        await store.save(result)
        return result.output


async def main(url: str) -> None:
    """Two requests that share nothing but the conversation's id."""
    conversation_id = f"trip-{uuid.uuid4()}"
    print("first answer:", await ask(url, conversation_id, "I want a window seat."))
    print("after a restart:", await ask(url, conversation_id, "What did I want?"))
    async with AsyncClient(url) as client:
        for turn in (await client.turns(conversation_id))["turns"]:
            print(turn["version"], turn["role"], turn["content"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
