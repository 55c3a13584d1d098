"""Google ADK: sessions, their state, and a memory over them, kept in Turnlog. Needs `turnlog[google-adk]`.

client = AsyncClient("http://127.0.0.1:8080")
runner = Runner(
    app_name="travel",
    agent=agent,
    session_service=TurnlogSessionService(client),
    memory_service=TurnlogMemoryService(client),
)
"""

from turnlog_client.frameworks.extras import missing

try:
    import google.adk  # noqa: F401
except ImportError as error:
    raise missing("google-adk", error) from error

from turnlog_client.frameworks.google_adk.memory import TurnlogMemoryService
from turnlog_client.frameworks.google_adk.sessions import TurnlogSessionService

__all__ = ["TurnlogMemoryService", "TurnlogSessionService"]
