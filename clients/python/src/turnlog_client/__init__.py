"""Python client of Turnlog, the memory log of AI agents.

    with Client("http://127.0.0.1:8080") as memory:
        memory.store("trip", "user", "My flight is on Friday.", user_id="ana")
        messages = memory.context("trip", max_tokens=2_000)["messages"]

`AsyncClient` is the same with `await`. Calls are retried until a total deadline, and a retry never stores twice: every
turn gets its `turn_id` here, before it is sent. What a client wrote, its reads show. `frameworks` holds adapters for
agent frameworks; none of them is imported from here.
"""

from turnlog_client.aio import AsyncClient
from turnlog_client.client import Client
from turnlog_client.errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    NotFound,
    PermissionDenied,
    RateLimited,
    TurnlogError,
    Unavailable,
)
from turnlog_client.ids import as_id, new_turn_id
from turnlog_client.results import LineResult, Placed
from turnlog_client.retry import RetryPolicy
from turnlog_client.sse import StreamEvent
from turnlog_client.turns import turn

__all__ = [
    "ApiError",
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "Conflict",
    "LineResult",
    "NotFound",
    "PermissionDenied",
    "Placed",
    "RateLimited",
    "RetryPolicy",
    "StreamEvent",
    "TurnlogError",
    "Unavailable",
    "as_id",
    "new_turn_id",
    "turn",
]
