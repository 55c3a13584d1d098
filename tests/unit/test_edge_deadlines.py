"""Every request is answered within its deadline, a body that does not arrive is 408, and what streams bounds itself."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from turnlog_runtime.asgi import Edge, Message, Receive, Scope, Send, read_body, respond
from turnlog_runtime.deadlines import Deadlines, lift, limit_of
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.problems import Problem

LIMIT_S = 0.15
SLACK_S = 0.5


async def for_ever(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def edge(app: Callable[[Scope, Receive, Send], Awaitable[None]], seconds: float = LIMIT_S) -> Edge:
    late = Problem(503, "deadline_exceeded", "too slow", retry_after_s=1)
    return Edge(app, lambda error: None, Deadlines(lambda scope: seconds, lambda scope: late))


class Call:
    """One request to an app: what it sends, and what comes back."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.sent: list[Message] = []
        self.scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
        self.took_s = math.inf

    async def receive(self) -> Message:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def to(self, app: Edge) -> "Call":
        began = time.monotonic()
        async with asyncio.timeout(5):
            await app(self.scope, self.receive, self.send)
        self.took_s = time.monotonic() - began
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def code(self) -> str:
        return str(orjson.loads(self.sent[1]["body"])["error"]["code"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_a_request_over_its_deadline_is_answered_and_ends() -> None:
    ended = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = await Call().to(edge(slow))
    assert (call.status, call.code) == (503, "deadline_exceeded")
    assert call.headers[b"retry-after"] == b"1"
    assert call.headers[b"request-id"]
    assert LIMIT_S <= call.took_s < LIMIT_S + SLACK_S
    assert ended.is_set()
    await asyncio.sleep(0)  # the task that served it is not cancelled any more


async def test_a_request_within_its_deadline_is_left_alone_though_others_are_late() -> None:
    async def mixed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.Event().wait()
        await asyncio.sleep(LIMIT_S / 3)
        await respond(send, 200, b"{}")

    app = edge(mixed)
    calls = [Call() for _ in range(6)]
    for number, call in enumerate(calls):
        call.scope["path"] = "/slow" if number % 2 else "/"
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call.to(app))
    assert [call.status for call in calls] == [200, 503] * 3


async def test_several_slow_steps_do_not_add_up_beyond_the_deadline() -> None:
    async def steps(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(20):
            async with asyncio.timeout(1):
                await asyncio.sleep(LIMIT_S / 4)
        await respond(send, 200, b"{}")

    call = await Call().to(edge(steps))
    assert call.status == 503
    assert call.took_s < LIMIT_S + SLACK_S


@pytest.mark.parametrize("messages", [(), (body(b'{"role":', more=True),)])
async def test_a_body_that_does_not_arrive_is_a_408_that_closes_the_connection(
    messages: tuple[Message, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnlog_runtime.deadlines.BODY_S", LIMIT_S)

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 1000)

    call = await Call(*messages).to(edge(reads, seconds=10))
    assert (call.status, call.code) == (408, "request_timeout")
    assert call.headers[b"connection"] == b"close"
    assert call.took_s < LIMIT_S + SLACK_S


async def test_a_slow_body_does_not_shorten_the_time_for_the_answer() -> None:
    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(LIMIT_S * 0.7)
        await read_body(scope, receive, 1000)
        limit = limit_of(scope)
        assert limit is not None
        left_s = limit.at_s - time.monotonic()
        await respond(send, 200 if left_s > LIMIT_S * 0.9 else 500, b"{}")

    assert (await Call(body(b"{}")).to(edge(reads))).status == 200


async def test_parts_of_a_patient_body_each_have_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnlog_runtime.deadlines.BODY_S", 0.3)
    monkeypatch.setattr("turnlog_runtime.deadlines.BODY_BYTES_PER_S", 10)
    call = Call(*(body(b"x", more=number < 5) for number in range(6)))
    arrives = call.receive

    async def slowly() -> Message:
        await asyncio.sleep(0.1)
        return await arrives()

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, await read_body(scope, slowly, 1000, patient=True))

    await call.to(edge(reads, seconds=math.inf))
    assert call.sent[1]["body"] == b"xxxxxx"
    assert call.took_s > 0.5


async def test_a_patient_body_that_drips_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnlog_runtime.deadlines.BODY_S", 0.3)

    async def drips() -> Message:
        await asyncio.sleep(0.05)
        return body(b"x", more=True)

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, drips, 1_000_000, patient=True)

    call = await Call().to(edge(reads, seconds=math.inf))
    assert (call.status, call.code) == (408, "request_timeout")
    assert call.took_s < 0.3 + SLACK_S


async def test_a_stream_is_not_cut_once_it_bounds_itself() -> None:
    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        lift(scope)
        await asyncio.sleep(3 * LIMIT_S)
        await respond(send, 200, b"data")

    assert (await Call().to(edge(streams))).status == 200


async def test_an_answer_that_has_begun_is_not_answered_again() -> None:
    async def begins(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    call = await Call().to(edge(begins))
    assert [message["type"] for message in call.sent] == ["http.response.start"]


async def test_a_request_cut_off_by_the_end_of_the_process_is_told_so_and_stays_cancelled() -> None:
    call = Call()
    serving = asyncio.ensure_future(call.to(edge(for_ever, seconds=10)))
    await asyncio.sleep(0.01)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert call.status == 503


async def test_an_app_that_swallows_the_cancellation_leaves_its_task_usable() -> None:
    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await respond(send, 200, b"{}")

    call = await Call().to(edge(stubborn))
    assert call.status == 200
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_over_a_real_connection_a_body_cut_short_is_a_408_and_the_end_of_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnlog_runtime.deadlines.BODY_S", LIMIT_S)

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, await read_body(scope, receive, 1000))

    async with serving(edge(reads, seconds=10), "127.0.0.1", 0, 1.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b'POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{"role"')
        async with asyncio.timeout(5):
            answer = await reader.read()  # to the end of the connection
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer
