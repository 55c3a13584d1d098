"""Anthropic's memory tool on Turnlog: a model's `/memories`, kept as a log. Needs `turnlog[anthropic]`.

memory = TurnlogMemoryTool(Client("http://127.0.0.1:8080"), "memory.ana")
runner = anthropic.Anthropic().beta.messages.tool_runner(model=…, max_tokens=…, messages=[…], tools=[memory])
runner.until_done()
"""

from turnlog_client.frameworks.extras import missing

try:
    import anthropic  # noqa: F401
except ImportError as error:
    raise missing("anthropic", error) from error

from turnlog_client.frameworks.anthropic.tool import AsyncTurnlogMemoryTool, TurnlogMemoryTool

__all__ = ["AsyncTurnlogMemoryTool", "TurnlogMemoryTool"]
