"""The answering of one request on a connection: uvicorn's, with errors in our form and an end that loses no answer.

Made by `connection.py` for each request, and for each refusal.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from turnlog_runtime.asgi import App, Receive, Scope, Send, respond_problem
from turnlog_runtime.problems import INTERNAL, Problem
from turnlog_runtime.request_head import HttpLimits

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent


class Outgoing:
    """A connection's transport as an answer sees it: how the connection ends is not the answer's to say.

    The methods are the transport's own, bound once, so that writing costs no further call.
    """

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, close


class Answering(RequestResponseCycle):
    """One request and its answer.

    `keeps` says whether the connection may go on after it. Until the request is whole it may not: what an app leaves
    unread would be read as the next request, or be read and dropped for as long as the client likes.
    """

    keeps = False
    _problem: Problem | None = None

    def is_whole(self) -> None:
        """The body has come to its end."""
        self.more_body = False
        if not self.response_started:
            self.keep_alive = self.keeps
        self.message_event.set()

    def fail(self, problem: Problem) -> None:
        """The body broke off in what is no body: whoever reads it gets `problem`."""
        self._problem = problem
        self.message_event.set()

    async def receive(self) -> "ASGIReceiveEvent":
        """The next part of the body. Raises `Problem` 400."""
        message = await super().receive()
        if self._problem is not None:
            raise self._problem
        return message

    async def send_500_response(self) -> None:
        """An exception came through the app."""
        self.keep_alive = False
        await respond_problem(self.send, INTERNAL)  # type: ignore[arg-type]


class Taking:
    """Watches that a client goes on taking what waits for it, and cuts it when it does not."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: HttpLimits) -> None:
        self._transport, self._loop, self._limits = transport, loop, limits
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Something waits."""
        waiting_bytes = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limits.take_s, self._look, waiting_bytes)

    def end(self) -> None:
        """Nothing waits any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, waiting_bytes: int) -> None:
        if waiting_bytes - self._transport.get_write_buffer_size() < self._limits.take_bytes:
            self._transport.abort()
        else:
            self.begin()


def refusing(problem: Problem) -> App:
    """An app that answers with an error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await respond_problem(send, problem)

    return app
