"""LlamaIndex: chat stores on Turnlog, one session a key, one turn a message. Needs `turnlog[llama-index]`.

client = Client("http://127.0.0.1:8080")
memory = Memory.from_defaults(session_id="ana", chat_store=TurnlogMemoryStore(client))
buffer = ChatMemoryBuffer.from_defaults(chat_store_key="ana", chat_store=TurnlogChatStore(client))
"""

from turnlog_client.frameworks.extras import missing

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise missing("llama-index", error) from error

from turnlog_client.frameworks.llama_index.chat_store import TurnlogChatStore
from turnlog_client.frameworks.llama_index.memory_store import TurnlogMemoryStore

__all__ = ["TurnlogChatStore", "TurnlogMemoryStore"]
