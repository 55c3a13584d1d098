"""Work of several calls, written once for both clients: a generator yields calls and pauses, and is given the answers.

    def last_two(session_id: str) -> Steps[list[Any]]:
        page = yield from ask(calls.read_session(session_id, "turns", limit=2))
        return page["turns"]

    run(client, last_two("trip"))             # with a Client
    await arun(client, last_two("trip"))      # with an AsyncClient; with a Client in a thread

The framework adapters are made of such steps. A call that fails raises inside the generator.
"""

import asyncio
import time
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from turnlog_client.aio import AsyncClient
from turnlog_client.calls import Call
from turnlog_client.client import Client

T = TypeVar("T")


@dataclass(frozen=True)
class Pause:
    """Wait so long, in seconds; answered with None."""

    pause_s: float


Steps = Generator[Call[Any] | Pause, Any, T]


def ask(call: Call[T]) -> Generator[Call[T], T, T]:
    """One call; its answer."""
    return (yield call)


def run(client: Client | AsyncClient, steps: Steps[T]) -> T:
    """Take the steps with a `Client`. Raises TypeError for an `AsyncClient`: it needs `await`."""
    if isinstance(client, AsyncClient):
        raise TypeError("an AsyncClient cannot be used without await: give a Client, or call the asynchronous method")
    try:
        step = next(steps)
        while True:
            try:
                answer = _taken(client, step)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


def _taken(client: Client, step: Call[Any] | Pause) -> Any:
    if isinstance(step, Pause):
        time.sleep(step.pause_s)
        return None
    return client.send(step)


async def arun(client: Client | AsyncClient, steps: Steps[T]) -> T:
    """Take the steps with an `AsyncClient` on its event loop, or with a `Client` in a thread, from any loop."""
    if isinstance(client, Client):
        return await asyncio.to_thread(run, client, steps)
    try:
        step = next(steps)
        while True:
            try:
                answer = await (asyncio.sleep(step.pause_s) if isinstance(step, Pause) else client.send(step))
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
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
