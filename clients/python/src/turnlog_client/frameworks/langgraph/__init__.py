"""LangGraph's checkpoints and long-term store in Turnlog; needs `pip install 'turnlog[langgraph]'`.

graph = builder.compile(checkpointer=TurnlogSaver(client), store=TurnlogStore(client))
"""

from turnlog_client.frameworks.extras import missing

try:
    import langgraph.checkpoint.base  # noqa: F401
except ImportError as error:
    raise missing("langgraph", error) from error

from turnlog_client.frameworks.langgraph.saver import TurnlogSaver
from turnlog_client.frameworks.langgraph.store import TurnlogStore

__all__ = ["TurnlogSaver", "TurnlogStore"]
