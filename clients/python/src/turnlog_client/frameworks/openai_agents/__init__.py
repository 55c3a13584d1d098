"""Sessions of the OpenAI Agents SDK in Turnlog; needs `pip install 'turnlog[openai-agents]'`.

session = TurnlogSession("trip", client)
await Runner.run(agent, "My flight is on Friday.", session=session)
"""

from turnlog_client.frameworks.extras import missing

try:
    import agents  # noqa: F401
except ImportError as error:
    raise missing("openai-agents", error) from error

from turnlog_client.frameworks.openai_agents.session import TurnlogSession

__all__ = ["TurnlogSession"]
