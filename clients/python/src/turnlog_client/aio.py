"""The asynchronous client: the synchronous one with `await`."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx

from turnlog_client import calls
from turnlog_client.calls import ENDED, Call
from turnlog_client.chunks import ChunkLoad, Line, chunks
from turnlog_client.errors import ApiError, TurnlogError, Unavailable
from turnlog_client.results import LineResult, Placed
from turnlog_client.retry import Attempts, RetryPolicy
from turnlog_client.sse import SseParser, StreamEvent
from turnlog_client.transport import STREAM_TIMEOUT, address, options, timeout_of
from turnlog_client.turns import turn
from turnlog_client.written import Written

T = TypeVar("T")


class AsyncClient:
    """Turnlog over HTTP. For one event loop; close it, or use it with `async with`.

    Every method raises `ApiError` for what the server refuses, and `Unavailable` after `retry.total_s` seconds of
    failures that may pass. Reads return the API's JSON objects, and show what this client wrote before.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        retry: RetryPolicy = RetryPolicy(),
        timeout_s: float = 15.0,
        read_your_writes: bool = True,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """`url` falls back to TURNLOG_URL and then to this machine's port 8080, `api_key` (an API key or an access
        token) to TURNLOG_API_KEY. `timeout_s` bounds each attempt, `retry` all of them together. `verify` and
        `transport` are httpx's. Without `read_your_writes` reads may be a moment older than this client's writes.
        `http` is a client of httpx with a base URL to send through instead of one of our own: it decides on headers
        and connections, and it is yours to close.
        """
        self.url = address(url)
        self._retry, self._timeout_s = retry, timeout_s
        self._written = Written() if read_your_writes else Written(0)
        self._http = http or httpx.AsyncClient(
            **options(self.url, timeout_s, api_key, verify=verify, transport=transport)
        )
        self._owns_http = http is None

    async def close(self) -> None:
        """Close all connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def store(
        self,
        session_id: str,
        role: str,
        content: str | Sequence[Mapping[str, Any]],
        *,
        if_version: int | None = None,
        **fields: Any,
    ) -> Placed:
        """Store one turn; `fields` are those of `turn()`. With `if_version` only if the session is at that version
        (`Conflict` otherwise)."""
        return await self.send(calls.store(session_id, turn(role, content, **fields), if_version))

    async def store_many(
        self, session_id: str, turns: Sequence[Mapping[str, Any]], *, if_version: int | None = None
    ) -> list[Placed]:
        """Store up to 1,000 turns of a session, all or nothing, in order."""
        return await self.send(calls.store_many(session_id, turns, if_version))

    async def load(self, lines: Iterable[Line]) -> AsyncIterator[LineResult]:
        """Store any number of turns of any sessions, each an object with its `session_id`; one result a line, in order.

        Reads `lines` as it goes. Repeating a load adds nothing if its lines have turn ids.
        """
        for chunk in chunks(lines):
            load, attempts = ChunkLoad(chunk), Attempts(self._retry, time.monotonic)
            while not load.done:
                answers = await self.send(calls.load_chunk(load.body()))
                failure = load.take(answers)
                if failure is not None:
                    await asyncio.sleep(attempts.pause_s(failure))
            for session_id, version in load.written().items():
                self._written.wrote(session_id, version)
            for item in load.results:
                yield item

    async def retract(
        self,
        session_id: str,
        from_version: int,
        to_version: int,
        reason: str | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Hide turns from every read; the history keeps them. A session has one retraction under an
        `idempotency_key`: the same again answers `duplicate`, another raises `Conflict`."""
        return await self.send(calls.retract(session_id, from_version, to_version, reason, idempotency_key))

    async def compress(self, session_id: str, *, wait: bool = False, wait_s: float = 60.0) -> dict[str, Any]:
        """Ask for a summary up to now. The task's id; with `wait` the ended task.

        Raises `Unavailable` when it has not ended after `wait_s`.
        """
        asked = await self.send(calls.compress(session_id))
        deadline, pause_s = time.monotonic() + wait_s, 0.02
        while wait:
            task = await self.task(asked["task_id"])
            if task["state"] in ENDED:
                return task
            if time.monotonic() > deadline:
                raise Unavailable(f"task {asked['task_id']} is still {task['state']} after {wait_s:g} s")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1.0)
        return asked

    async def task(self, task_id: str) -> dict[str, Any]:
        """The state of a compression task."""
        return await self.send(calls.read(f"/v1/tasks/{task_id}"))

    async def turns(self, session_id: str, **params: Any) -> dict[str, Any]:
        """Recent turns, oldest first: `limit`, `before_version`, `after_version`, `agent_id`, `min_version`, `wait_ms`,
        `fresh` (nothing that anybody wrote is missing: from PostgreSQL)."""
        return await self.send(calls.read_session(session_id, "turns", **params))

    async def history(
        self, session_id: str, *, after_version: int = 0, page_turns: int = 200
    ) -> AsyncIterator[dict[str, Any]]:
        """All visible turns after a version, oldest first, page by page, up to where the session ends now."""
        while True:
            page = await self.turns(session_id, after_version=after_version, limit=page_turns, fresh=True)
            for item in page["turns"]:
                yield item
            if not page["turns"] or (after_version := page["turns"][-1]["version"]) >= page["version"]:
                return

    async def session(self, session_id: str) -> dict[str, Any]:
        """The head of a session."""
        return await self.send(calls.read(calls.session_path(session_id)))

    async def sessions(
        self, *, agent_id: str | None = None, user_id: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """All sessions, newest first, page by page."""
        cursor: str | None = None
        while True:
            page = await self.session_page(agent_id=agent_id, user_id=user_id, limit=1_000, cursor=cursor)
            for item in page["sessions"]:
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def session_page(
        self,
        *,
        agent_id: str | None = None,
        user_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """One page of sessions, newest first: `sessions`, and `next_cursor` for the page after, None for the last."""
        return await self.send(calls.sessions(cursor, agent_id=agent_id, user_id=user_id, limit=limit))

    async def summary(self, session_id: str, *, max_tokens: int | None = None, **params: Any) -> dict[str, Any]:
        """The rolling summary with its lineage; `params` are `min_version`, `wait_ms` and `fresh`."""
        return await self.send(calls.read_session(session_id, "summary", max_tokens=max_tokens, **params))

    async def context(
        self,
        session_id: str,
        *,
        max_tokens: int | None = None,
        format: str = "openai",
        min_version: int | None = None,
        fresh: bool | None = None,
    ) -> dict[str, Any]:
        """What to put in a prompt, within `max_tokens`; `format` is openai, anthropic or text."""
        params = {"max_tokens": max_tokens, "format": format, "min_version": min_version, "fresh": fresh}
        return await self.send(calls.read_session(session_id, "context", **params))

    async def log(self, log: str = "main") -> dict[str, Any]:
        """The head of a log."""
        return await self.send(calls.read(f"/v1/logs/{log}"))

    async def log_events(self, log: str = "main", *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The whole history after a position, in order, up to where it ends now."""
        position: int | None = after
        while position is not None:
            page = await self.send(calls.read(f"/v1/logs/{log}/events", after=position, limit=1_000))
            for item in page["events"]:
                yield item
            position = page["next_after"]

    async def events(self, session_id: str, *, after_version: int = 0) -> AsyncIterator[StreamEvent]:
        """A session's events after a version, then live, without end: a lost connection is resumed.

        Every turn comes once; other events may come again after a resumption.
        """
        version, attempts = after_version, Attempts(self._retry, time.monotonic)
        while True:
            try:
                async for event in self._stream(session_id, version):
                    attempts.progressed()
                    version = event.id
                    if event.name != "cut":
                        yield event
                failure = Unavailable(f"{self.url} ended the stream")
            except Unavailable as error:
                failure = error
            await asyncio.sleep(attempts.pause_s(failure))

    async def _stream(self, session_id: str, version: int) -> AsyncIterator[StreamEvent]:
        parser, headers = SseParser(), {"last-event-id": str(version)}
        path = calls.session_path(session_id, "events")
        try:
            async with self._http.stream("GET", path, headers=headers, timeout=STREAM_TIMEOUT) as response:
                if not response.is_success:
                    await response.aread()
                    calls.checked(response)
                async for data in response.aiter_bytes():
                    for item in parser.feed(data):
                        yield item
        except httpx.HTTPError as error:
            raise calls.unreachable(error, self.url) from error

    async def send(self, call: Call[T]) -> T:
        """Send a call of the module `calls`, again until the deadline while it fails for a cause that may pass."""
        attempts, sent = Attempts(self._retry, time.monotonic), self._written.applied(call)
        while True:
            try:
                answer = call.read(calls.checked(await self._once(sent, attempts.left_s)))
                self._written.note(call, answer)
                return answer
            except Unavailable as failure:
                await asyncio.sleep(attempts.pause_s(failure))
            except ApiError as error:
                if sent is not call and error.status in (404, 409):
                    self._written.forget(call.session_id)
                raise
            except (ValueError, LookupError) as error:
                raise TurnlogError(f"{self.url} answered something else than Turnlog's JSON: is it Turnlog?") from error

    async def _once(self, call: Call[T], left_s: float) -> httpx.Response:
        timeout = timeout_of(max(0.05, min(self._timeout_s, left_s)))
        try:
            return await self._http.request(
                call.method, call.path, params=call.params, headers=call.headers, content=call.body, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise calls.unreachable(error, self.url) from error
