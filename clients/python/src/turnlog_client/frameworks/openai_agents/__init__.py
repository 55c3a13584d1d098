"""Sessions of the OpenAI Agents SDK in Turnlog; needs `pip install 'turnlog[openai-agents]'`.

session = TurnlogSession("trip", client)
await Runner.run(agent, "My flight is on Friday.", session=session)
"""

try:
    import agents as _agents  # noqa: F401
except ImportError as error:
    raise ImportError("the OpenAI Agents SDK is not installed: pip install 'turnlog[openai-agents]'") from error

from turnlog_client.frameworks.openai_agents.session import TurnlogSession

__all__ = ["TurnlogSession"]
