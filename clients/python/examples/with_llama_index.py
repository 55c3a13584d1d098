"""A LlamaIndex chat engine whose memory is kept in Turnlog. Offline: the model repeats what it is given.

turnlog up
pip install 'turnlog[llama-index]'
python with_llama_index.py [http://127.0.0.1:8080]
"""

import sys
import uuid

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import Memory

from turnlog_client import Client
from turnlog_client.frameworks.llama_index import TurnlogMemoryStore


def words(text: str) -> list[str]:
    """Counts words instead of tokens: a tokenizer would be downloaded."""
    return text.split()


def ask(url: str, key: str, question: str) -> str:
    """One question, as a process of its own would ask it."""
    with Client(url) as client:
        memory = Memory.from_defaults(session_id=key, chat_store=TurnlogMemoryStore(client), tokenizer_fn=words)
        engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
        return str(engine.chat(question))


def main(url: str) -> None:
    """Two questions that share nothing but the key."""
    key = f"Ana's trip {uuid.uuid4()}"
    ask(url, key, "A window seat, please.")
    print("after a restart the model is given:")
    print(ask(url, key, "Which seat?"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
