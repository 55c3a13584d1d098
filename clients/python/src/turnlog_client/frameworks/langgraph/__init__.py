"""LangGraph's checkpoints and long-term store in Turnlog; needs `pip install 'turnlog[langgraph]'`.

graph = builder.compile(checkpointer=TurnlogSaver(client), store=TurnlogStore(client))
"""

try:
    import langgraph.checkpoint.base as _base  # noqa: F401
except ImportError as error:
    raise ImportError("LangGraph is not installed: pip install 'turnlog[langgraph]'") from error

from turnlog_client.frameworks.langgraph.saver import TurnlogSaver
from turnlog_client.frameworks.langgraph.store import TurnlogStore

__all__ = ["TurnlogSaver", "TurnlogStore"]
