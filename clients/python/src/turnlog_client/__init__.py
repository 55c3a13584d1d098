"""Python client of Turnlog, the memory log of AI agents.

    with Client("http://127.0.0.1:8080") as memory:
        memory.store("trip", "user", "My flight is on Friday.", user_id="ana")
        messages = memory.context("trip", max_tokens=2_000)["messages"]

`AsyncClient` is the same with `await`. Calls are retried until a total deadline, and a retry never stores twice: every
turn gets its `turn_id` here, before it is sent.
"""

from turnlog_client.aio import AsyncClient
from turnlog_client.client import Client
from turnlog_client.errors import ApiError, TurnlogError, Unavailable
from turnlog_client.ids import new_turn_id
from turnlog_client.results import LineResult, Placed
from turnlog_client.retry import RetryPolicy
from turnlog_client.sse import StreamEvent
from turnlog_client.turns import turn

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "LineResult",
    "Placed",
    "RetryPolicy",
    "StreamEvent",
    "TurnlogError",
    "Unavailable",
    "new_turn_id",
    "turn",
]
