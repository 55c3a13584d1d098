"""The ASGI edge shared by all HTTP services: request ids, deadlines, errors in one form, bodies read within limits.

Pure ASGI: Starlette's `BaseHTTPMiddleware` would cancel inner work and hide disconnects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import structlog

from turnlog_events.errors import InvalidField
from turnlog_events.ids import new_id
from turnlog_runtime.deadlines import Deadlines, OpenRequests, limit_of
from turnlog_runtime.log_context import REQUEST
from turnlog_runtime.problems import INTERNAL, Problem, problem_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
ErrorMap = Callable[[Exception], Problem | None]
Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM_JSON = (b"content-type", b"application/problem+json")
_ANSWER_HEADERS = "turnlog.answer_headers"

_log = structlog.get_logger()


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def respond(send: Send, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
    """Send a whole answer."""
    head = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem) -> None:
    """Send an error."""
    headers = [PROBLEM_JSON, *((k.encode(), v.encode()) for k, v in problem.headers.items())]
    await respond(send, problem.status, problem.render(), headers)


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of this (lower-case) name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def answer_headers(scope: Scope, headers: Callable[[], Headers]) -> None:
    """Have the edge add these to the answer, whatever it will be; they are asked for when it begins."""
    scope[_ANSWER_HEADERS] = headers


async def read_body(scope: Scope, receive: Receive, limit_bytes: int, *, patient: bool = False) -> bytes:
    """The request's body. Raises 413 as soon as it is known to be too large, 415 for a compressed one, and
    `ClientGone` when it was cut short. Behind the edge it must arrive within `deadlines.BODY_S`, or with `patient` each
    part of it; the request's own time limit begins when it has arrived."""
    _check_headers(scope, limit_bytes)
    limit = limit_of(scope)
    if limit is not None:
        limit.wait_for_body()
    message = await receive()
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body"):
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if patient and limit is not None:
            limit.wait_for_body(size)
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
    if message["type"] == "http.disconnect":
        raise ClientGone
    if size > limit_bytes:
        raise _too_large(limit_bytes)
    if limit is not None:
        limit.body_arrived()
    return body if len(parts) == 1 else b"".join(parts)


def _check_headers(scope: Scope, limit_bytes: int) -> None:
    for key, value in scope["headers"]:
        if key == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise _too_large(limit_bytes)
        if key == b"content-encoding" and value.lower() != b"identity":
            raise Problem(
                415, "unsupported_encoding", "content-encoding: send the body uncompressed", "content-encoding"
            )
        if key == b"content-type" and b"charset" in value.lower() and b"utf-8" not in value.lower():
            raise Problem(415, "unsupported_encoding", "content-type: the body must be UTF-8", "content-type")


def _too_large(limit_bytes: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"the body is larger than {limit_bytes} bytes; send it in parts",
        "body",
        headers={"connection": "close"},
    )


class Edge:
    """Wraps an app: gives each request an id and a deadline, and turns exceptions into problems.

    `errors` maps what a service's own libraries raise; it is the one place where that service decides on statuses.
    The id (`request_id_of`, unless the server has given one) is answered as `request-id`, and log lines of the request
    carry it. A request over its deadline is cancelled and answered as `deadlines` says, or its connection closed when
    the answer had begun.
    """

    def __init__(self, app: App, errors: ErrorMap, deadlines: Deadlines | None = None) -> None:
        self._app = app
        self._errors = errors
        self._open = OpenRequests(deadlines) if deadlines is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._open is None:
            await self._serve(scope, receive, send)
            return
        limit = self._open.enter(scope)
        try:
            await self._serve(scope, receive, send)
        finally:
            self._open.leave(limit)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        given: str | None = scope.get("request_id")  # by our connections, which put it on every answer
        request_id = given or request_id_of(scope["headers"])
        scope["request_id"] = request_id
        around = REQUEST.set(scope)
        started = False

        async def send_tagged(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                more = scope.get(_ANSWER_HEADERS)
                added = [(b"request-id", request_id.encode())] if given is None else []
                message["headers"] = [*message.get("headers", ()), *added, *(more() if more is not None else ())]
            await send(message)

        try:
            await self._app(scope, receive, send_tagged)
        except ClientGone:
            return
        except asyncio.CancelledError:
            if not await self._answered_late(scope, send_tagged, started=started):
                raise
        except Exception as error:
            problem = self._problem(error)
            if started:
                raise
            await respond_problem(send_tagged, problem)
        finally:
            REQUEST.reset(around)

    async def _answered_late(self, scope: Scope, send: Send, *, started: bool) -> bool:
        """Tell the client that its request took too long, or that the end of the process cuts it off; whether the
        former, which ends here. (A connection whose answer had begun is closed by the server.)"""
        limit = limit_of(scope)
        if limit is None:
            return False
        ours = limit.calm()
        _log.warning("request_late", body=limit.in_body)
        if not started:
            await respond_problem(send, limit.problem())
        return ours

    def _problem(self, error: Exception) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, InvalidField):
            return problem_of(error)
        problem = self._errors(error)
        if problem is None:
            _log.exception("request_failed")
            return INTERNAL
        if problem.status >= 500:
            _log.warning("request_refused", code=problem.code, cause=type(error).__name__)
        return problem


def request_id_of(headers: Headers) -> str:
    """A request's id: the client's `x-request-id` if that is 1 to 128 printable ASCII characters, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and 0 < len(value) <= 128 and value.isascii():
            given = value.decode("ascii")
            if given.isprintable():
                return given
    return new_id()
