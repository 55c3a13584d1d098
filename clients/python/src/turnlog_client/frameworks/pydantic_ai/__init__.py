"""pydantic-ai: conversations kept in Turnlog, one session each. Needs `turnlog[pydantic-ai]`.

store = TurnlogConversationStore(AsyncClient("http://127.0.0.1:8080"))
conversation = await store.load("trip") or Conversation(conversation_id="trip")
result = await agent.run("A window seat, please.", conversation=conversation)
await store.save(result)
"""

from turnlog_client.frameworks.extras import missing

try:
    import pydantic_ai  # noqa: F401
except ImportError as error:
    raise missing("pydantic-ai", error) from error

from turnlog_client.frameworks.pydantic_ai.store import TurnlogConversationStore

__all__ = ["TurnlogConversationStore"]
