"""Each request is counted once, under labels that callers cannot choose, whatever becomes of it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from turnlog_runtime.asgi import ClientGone, Edge, Message, Receive, Scope, Send, respond
from turnlog_runtime.counting import Counted
from turnlog_runtime.problems import Problem

TURNS = "/v1/sessions/{session_id}/turns"
LIVE = "/v1/sessions/{session_id}/events"
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Service:
    """A counted app with a name of its own."""

    def __init__(self, app: App) -> None:
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self._app = Counted(app, self.name)

    async def ask(self, path: str = "/v1/sessions/s/turns", method: str = "GET") -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        await self._app(scope, receive, send)
        return sent

    def counted(self, method: str, route: str, status: int) -> tuple[float | None, float | None]:
        """How often in `requests_total`, and how often in the histogram."""
        labels = {"service": self.name, "method": method, "route": route, "status": str(status)}
        return tuple(REGISTRY.get_sample_value(n, labels) for n in ("requests_total", "requests_latency_seconds_count"))

    @property
    def in_progress(self) -> float | None:
        return REGISTRY.get_sample_value("requests_in_progress", {"service": self.name})

    def series(self) -> int:
        samples = [s for family in REGISTRY.collect() if family.name == "requests" for s in family.samples]
        return sum(s.labels["service"] == self.name for s in samples)


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b"{}")


async def test_an_answer_is_counted_with_its_status_and_the_template_of_its_route() -> None:
    service = Service(ok)
    for session in ("a", "b", "c"):
        await service.ask(f"/v1/sessions/{session}/turns")
    assert service.counted("GET", TURNS, 200) == (3, 3)
    assert service.in_progress == 0


async def test_whatever_callers_choose_never_becomes_a_label() -> None:
    service = Service(ok)
    for number in range(50):
        await service.ask(f"/secret-{number}", f"METHOD{number}")
        await service.ask(f"/v1/sessions/{number}/what", "GET")
    assert service.counted("other", "unmatched", 200) == (50, 50)
    assert service.counted("GET", "unmatched", 200) == (50, 50)
    assert service.series() == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [(Problem(409, "turn_id_conflict", "no"), 409), (ValueError("secret"), 500), (ClientGone(), 499)],
)
async def test_an_error_is_counted_as_what_the_client_is_told(error: Exception, status: int) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    service = Service(Edge(failing, lambda found: None))
    await service.ask()
    assert service.counted("GET", TURNS, status) == (1, 1)
    assert service.in_progress == 0


async def test_an_exception_that_nobody_answers_is_a_500() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    service = Service(failing)
    with pytest.raises(ValueError):
        await service.ask()
    assert service.counted("GET", TURNS, 500) == (1, 1)


async def test_a_request_is_in_progress_until_it_is_answered_and_one_that_is_cancelled_is_not_any_more() -> None:
    goes_on = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await goes_on.wait()
        await ok(scope, receive, send)

    service = Service(waiting)
    first, second = asyncio.create_task(service.ask()), asyncio.create_task(service.ask())
    await asyncio.sleep(0)
    assert service.in_progress == 2
    second.cancel()
    await asyncio.wait({second})
    assert service.in_progress == 1
    assert service.counted("GET", TURNS, 499) == (1, 1)
    goes_on.set()
    await first
    assert service.in_progress == 0
    assert service.counted("GET", TURNS, 200) == (1, 1)


async def test_a_live_stream_counts_once_when_it_begins_and_is_not_in_progress_while_it_lasts() -> None:
    begun, ends = asyncio.Event(), asyncio.Event()

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await ends.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    service = Service(streaming)
    stream = asyncio.create_task(service.ask("/v1/sessions/s/events"))
    await begun.wait()
    assert service.counted("GET", LIVE, 200) == (1, 1)
    assert service.in_progress == 0
    ends.set()
    await stream
    assert service.counted("GET", LIVE, 200) == (1, 1)
    assert service.in_progress == 0


async def test_a_refused_stream_counts_like_any_answer() -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise Problem(503, "too_many_streams", "no more", retry_after_s=1)

    service = Service(Edge(refusing, lambda found: None))
    await service.ask("/v1/sessions/s/events")
    assert service.counted("GET", LIVE, 503) == (1, 1)
    assert service.in_progress == 0


async def test_what_is_not_http_passes() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await Counted(app, "test-other")({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
