"""What an adapter does, as steps: a generator yields a call of the client and is sent its answer. Written once, taken
by either client; without network or clock.

    def newest(session_id: str) -> Steps[str]:
        page = yield Ask.of("turns", session_id, limit=1)
        return page["turns"][-1]["content"]

    run(client, newest("trip"))         # or: await arun(async_client, newest("trip"))
"""

import asyncio
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from turnlog_client import AsyncClient, Client, TurnlogError

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """A call of the client's method of that name; `sessions` answers with a list."""

    method: str
    args: tuple[Any, ...]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, method: str, *args: Any, **options: Any) -> "Ask":
        """The call written as one would call the method."""
        return cls(method, args, options)


@dataclass(frozen=True)
class Pause:
    """Wait so long, in seconds."""

    pause_s: float


Steps = Generator[Ask | Pause, Any, T]


def run(client: Client, steps: Steps[T]) -> T:
    """Take the steps with a `Client`; their result. An error of a call is raised at the step that asked for it."""
    answer: Any = None
    failure: TurnlogError | None = None
    try:
        while True:
            step = steps.throw(failure) if failure is not None else steps.send(answer)
            answer = failure = None
            try:
                if isinstance(step, Pause):
                    time.sleep(step.pause_s)
                else:
                    asked = getattr(client, step.method)(*step.args, **step.options)
                    answer = list(asked) if step.method == "sessions" else asked
            except TurnlogError as error:
                failure = error
    except StopIteration as end:
        result: T = end.value
        return result


async def arun(client: AsyncClient, steps: Steps[T]) -> T:
    """The same with an `AsyncClient`."""
    answer: Any = None
    failure: TurnlogError | None = None
    try:
        while True:
            step = steps.throw(failure) if failure is not None else steps.send(answer)
            answer = failure = None
            try:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.pause_s)
                elif step.method == "sessions":
                    answer = [row async for row in client.sessions(*step.args, **step.options)]
                else:
                    answer = await getattr(client, step.method)(*step.args, **step.options)
            except TurnlogError as error:
                failure = error
    except StopIteration as end:
        result: T = end.value
        return result
