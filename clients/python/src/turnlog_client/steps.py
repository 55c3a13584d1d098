"""Work of several calls, written once for both clients: a generator yields calls and is given their answers.

    def last_two(session_id: str) -> Steps[list[Any]]:
        page = yield from ask(calls.read_session(session_id, "turns", limit=2))
        return page["turns"]

    run(client, last_two("trip"))             # with a Client
    await arun(client, last_two("trip"))      # with an AsyncClient; with a Client in a thread

The framework adapters are made of such steps. A call that fails raises inside the generator.
"""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, NamedTuple, TypeVar

from turnlog_client import calls
from turnlog_client.aio import AsyncClient
from turnlog_client.calls import Call
from turnlog_client.client import Client
from turnlog_client.errors import NotFound

T = TypeVar("T")
Steps = Generator[Call[Any], Any, T]
PAGE_TURNS = 200
"""Turns a page: with turns of 256 KiB still some 50 MiB."""


class Pages(NamedTuple):
    """Turns of a session, and the session's version and revision (which changes with every retraction)."""

    turns: list[dict[str, Any]]
    version: int
    revision: int


def ask(call: Call[T]) -> Generator[Call[T], T, T]:
    """One call; its answer."""
    return (yield call)


def run(client: Client | AsyncClient, steps: Steps[T]) -> T:
    """Take the steps with a `Client`. Raises TypeError for an `AsyncClient`: it needs `await`."""
    if isinstance(client, AsyncClient):
        raise TypeError("an AsyncClient cannot be used without await: give a Client, or call the asynchronous method")
    try:
        call = next(steps)
        while True:
            try:
                answer = client.send(call)
            except Exception as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


async def arun(client: Client | AsyncClient, steps: Steps[T]) -> T:
    """Take the steps with an `AsyncClient` on its event loop, or with a `Client` in a thread, from any loop."""
    if isinstance(client, Client):
        return await asyncio.to_thread(run, client, steps)
    try:
        call = next(steps)
        while True:
            try:
                answer = await client.send(call)
            except Exception as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


async def settled(work: Awaitable[T]) -> T:
    """Wait for a write to its end though the caller is cancelled meanwhile; the cancellation is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()


def pages(session_id: str, after_version: int = 0, **params: Any) -> Steps[Pages]:
    """All visible turns after a version as they stood at one moment, oldest first, from PostgreSQL.

    Of a session that does not exist: no turns, version 0.
    """
    while True:
        found = yield from _pages(session_id, after_version, params)
        if found is not None:
            return found


def _pages(session_id: str, after_version: int, params: dict[str, Any]) -> Steps[Pages | None]:
    """None when something was retracted between two pages."""
    turns: list[dict[str, Any]] = []
    revision: int | None = None
    while True:
        call = calls.read_session(
            session_id, "turns", after_version=after_version, limit=PAGE_TURNS, fresh=True, **params
        )
        try:
            page = yield from ask(call)
        except NotFound:
            return Pages([], 0, 0)
        if revision not in (None, page["revision"]):
            return None
        turns += page["turns"]
        revision = page["revision"]
        if not page["turns"] or (after_version := page["turns"][-1]["version"]) >= page["version"]:
            return Pages(turns, page["version"], page["revision"])
