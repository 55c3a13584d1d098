"""Load through the gateway as the product's client makes it, and what each client knows afterwards.

Each client has a session of its own: it stores turns under ids it chose, sends some again on purpose, reads what it
wrote back at once, and listens to the session's live events. The client library repeats what fails for a cause that
may pass; `Watch` sees every attempt beneath it.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import httpx

from querying import fresh
from turnlog_client import AsyncClient, RetryPolicy
from turnlog_client.results import Placed

CLIENTS = 8
STREAMED = 4
"""So many of the sessions have a listener."""
REPEAT_EACH = 4
CLIENT_TIMEOUT_S = 3.0
LISTENED_S = 20.0


@dataclass(frozen=True)
class Attempt:
    """One request on the wire: `answer` is its status, or the name of the error where there was none."""

    kind: str
    answer: int | str
    began_s: float
    took_s: float

    @property
    def failed(self) -> bool:
        """Whether the library has to try again."""
        return not isinstance(self.answer, int) or self.answer >= 500


class Watch(httpx.AsyncHTTPTransport):
    """A transport that writes every attempt down."""

    def __init__(self, attempts: list[Attempt]) -> None:
        super().__init__()
        self._attempts = attempts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kind = "stream" if request.url.path.endswith("/events") else "read" if request.method == "GET" else "write"
        began = time.monotonic()
        answer: int | str = "cancelled"
        try:
            response = await super().handle_async_request(request)
            answer = response.status_code
            return response
        except httpx.HTTPError as error:
            answer = type(error).__name__
            raise
        finally:
            if answer != "cancelled":
                self._attempts.append(Attempt(kind, answer, began, time.monotonic() - began))


@dataclass
class Writer:
    """One client and its session."""

    session: str = field(default_factory=lambda: fresh("balanced"))
    stored: dict[str, Placed] = field(default_factory=dict)
    """What was acknowledged first, by turn id."""
    duplicates: int = 0
    """Acknowledged at first sight as duplicates: an attempt whose answer was lost had stored them."""
    heard: list[int] = field(default_factory=list)
    """Versions of the turns that the listener got."""


class Load:
    """Clients that call without a pause until they are stopped; what a client finds wrong fails the test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._listeners: list[asyncio.Task[None]] = []
        self.attempts: list[Attempt] = []
        self.writers = [Writer() for _ in range(CLIENTS)]
        self.taken_back, self.retractions = fresh("taken-back"), 0
        """A session, and how many of its turns (all) were taken back."""

    async def __aenter__(self) -> "Load":
        await self._group.__aenter__()
        for number, writer in enumerate(self.writers):
            self._group.create_task(self._work(writer, listened=number < STREAMED))
        self._group.create_task(self._take_back())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await self._group.__aexit__(kind, error, trace)

    def client(self) -> AsyncClient:
        """A client of the gateway that is watched."""
        retry = RetryPolicy(total_s=30.0, first_s=0.05, last_s=0.5)
        return AsyncClient(
            self._url, api_key="", retry=retry, timeout_s=CLIENT_TIMEOUT_S, transport=Watch(self.attempts)
        )

    def failures(self, *kinds: str) -> list[Attempt]:
        """Attempts of these kinds that got no usable answer."""
        return [attempt for attempt in self.attempts if attempt.failed and attempt.kind in kinds]

    async def more(self, rounds: int) -> None:
        """Wait until every client has stored so many more turns."""
        wanted = [len(writer.stored) + rounds for writer in self.writers]
        async with asyncio.timeout(60):
            while any(len(w.stored) < count for w, count in zip(self.writers, wanted, strict=True)):
                await asyncio.sleep(0.01)

    async def _work(self, writer: Writer, *, listened: bool) -> None:
        async with self.client() as client:
            await self._round(client, writer, 0)
            listener = asyncio.create_task(self._listen(writer)) if listened else None
            number = 1
            while not self._stop.is_set():
                await self._round(client, writer, number)
                number += 1
            if listener is not None:
                await _heard_all(writer, number)
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener

    async def _take_back(self) -> None:
        """A client that stores a turn and takes it back, again and again."""
        async with self.client() as client:
            while not self._stop.is_set():
                placed = await client.store(self.taken_back, "user", "never mind")
                answer = await client.retract(self.taken_back, placed.version, placed.version)
                assert (answer["from_version"], answer["to_version"]) == (placed.version, placed.version)
                self.retractions += 1

    async def _round(self, client: AsyncClient, writer: Writer, number: int) -> None:
        turn_id = f"t{number}"
        placed = await client.store(writer.session, "user", f"turn {number}", turn_id=turn_id)
        writer.duplicates += placed.duplicate
        assert placed.version == number + 1, f"{placed}: only this client writes this session"
        writer.stored[turn_id] = placed
        if number % REPEAT_EACH == 0:
            again = await client.store(writer.session, "user", f"turn {number}", turn_id=turn_id)
            assert again.duplicate
            assert (again.version, again.position) == (placed.version, placed.position)
        page = await client.turns(writer.session, limit=3)  # the library asks for what it wrote: min_version
        assert page["version"] == placed.version
        assert page["turns"][-1]["turn_id"] == turn_id

    async def _listen(self, writer: Writer) -> None:
        async with self.client() as client:
            async for event in client.events(writer.session):
                if event.name == "turn":
                    writer.heard.append(event.id)


async def _heard_all(writer: Writer, last: int) -> None:
    async with asyncio.timeout(LISTENED_S):
        while not writer.heard or writer.heard[-1] < last:
            await asyncio.sleep(0.01)


def placements(writers: list[Writer]) -> Mapping[str, dict[str, tuple[int, int]]]:
    """Version and position of every acknowledged turn, by session and turn id."""
    return {w.session: {k: (p.version, p.position) for k, p in w.stored.items()} for w in writers}
