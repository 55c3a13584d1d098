"""What the tests of the read API share: the app over a store, with or without read models, and events to
append."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from projecting import QUICK, append, complete, eventually, projector_of, reading, running, writing
from turnlog_events import event as ev
from turnlog_events.canonical import canonical
from turnlog_events.compose import Line
from turnlog_events.event import NewEvent
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import DEFAULT_TENANT, new_id
from turnlog_events.payloads import MemorySummarized
from turnlog_eventstore import Store
from turnlog_follow import Follower
from turnlog_query import Hubs, Limits, LiveHub, QueryDeps, background, create_app
from turnlog_query.ports import EventReads, ViewReads
from turnlog_runtime.asgi import App

TENANT = DEFAULT_TENANT


def fresh(prefix: str = "s") -> str:
    """An id that no other test has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def made(session: str, type_name: str, key: str, body: dict[str, Any], **more: Any) -> NewEvent:
    """An event with this payload."""
    payload = canonical(body)
    return NewEvent(TENANT, session, type_name, key, payload, payload_hash(payload), new_id(), **more)


def said(session: str, content: Any = "hello", role: str = "user", **fields: Any) -> NewEvent:
    """A turn."""
    body = {"role": role, "content": content, **fields}
    members = {name: fields.get(name) for name in ("agent_id", "user_id")}
    return made(session, ev.TURN_STORED, new_id(), body, **members)


def summarised(
    session: str, start: int, end: int, text: str = "Ana likes tea.", task_id: str | None = None
) -> NewEvent:
    """A summary of start..end with one line."""
    lines = (Line(end, 1.0, text, "Ana", "2026-05-08T10:00:00Z"),)
    node = MemorySummarized(start, end, 1, 1, f"Ana: {text}", lines, "extractive", "p1", 90, 5, task_id=task_id)
    return made(session, ev.SUMMARIZED, node.key, node.to_json(), correlation_id=task_id)


def hubs(store: EventReads, waiting_events: int = 1_000) -> Hubs:
    """Live hubs without NATS."""
    return Hubs(lambda log: LiveHub(store, Follower(store, None, log, QUICK), log, waiting_events))  # type: ignore[arg-type]


def client_of(app: App) -> httpx.AsyncClient:
    """A client that calls the app in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://turnlog")


async def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; fails after a while."""

    async def checked() -> bool:
        return holds()

    await eventually(checked)


@dataclass
class Api:
    """The app's client, and a way to append and wait until the read models show it."""

    client: httpx.AsyncClient
    deps: QueryDeps
    store: Store
    log: str
    _complete: Any = field(default=None, repr=False)

    async def add(self, *events: NewEvent) -> int:
        """Append one request per event, wait for the read models if there are any; the last position."""
        position = await append(self.store, self.log, events)
        if self._complete is not None:
            await complete(self._complete, position)
        return position

    async def get(self, path: str, status: int = 200, headers: dict[str, str] | None = None, **params: Any) -> Any:
        """The answer's JSON, of this status."""
        response = await self.client.get(path, params=params, headers=headers)
        assert response.status_code == status, response.text
        return response.json()

    async def problem(self, path: str, status: int, **params: Any) -> tuple[str, str | None]:
        """(code, param) of an error in the one form."""
        response = await self.client.get(path, params=params)
        return problem_in(response, status)


def problem_in(response: httpx.Response, status: int) -> tuple[str, str | None]:
    """(code, param) of an error answered in the one form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["request-id"]
    body = response.json()
    assert body["status"] == status
    assert body["detail"] == body["error"]["message"]
    return body["error"]["code"], body["error"]["param"]


@asynccontextmanager
async def postgres_api(store: Store, log: str, limits: Limits = Limits()) -> AsyncIterator[Api]:
    """The API without Redis."""
    deps = QueryDeps(store, None, hubs(store), log, limits)
    async with client_of(create_app(deps)) as client:
        yield Api(client, deps, store, log)


@asynccontextmanager
async def redis_api(
    store: Store, redis_url: str, log: str, limits: Limits = Limits(), **writer: Any
) -> AsyncIterator[Api]:
    """The API with read models and a running projector."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(projector_of(store, redis_url, log, **writer)))
        seen = await stack.enter_async_context(writing(store, redis_url, log))
        views: ViewReads = await stack.enter_async_context(reading(store, redis_url))
        await complete(seen, (await store.head(log)).position)
        deps = QueryDeps(store, views, hubs(store), log, limits)
        client = await stack.enter_async_context(client_of(create_app(deps)))
        yield Api(client, deps, store, log, seen)


@asynccontextmanager
async def in_background(deps: QueryDeps) -> AsyncIterator[asyncio.Event]:
    """The background tasks at work until the event is set or the block ends."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(background(deps, stop))
        try:
            yield stop
        finally:
            stop.set()
