"""Both providers against a real HTTP server on this machine that behaves well, badly, or not at all.

The server is a plain asyncio one that sends bytes as told: the SDKs, their HTTP client and our bounds are all real.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from turnlog_compressor.attempts import Attempts, AttemptSettings
from turnlog_compressor.breaker import BreakerSettings
from turnlog_compressor.budget import BudgetSettings
from turnlog_compressor.models import Model, ModelError
from turnlog_compressor.models.anthropic import Anthropic
from turnlog_compressor.models.openai_compatible import OpenAICompatible
from turnlog_compressor.prompt import prompt_for_turns
from turnlog_compressor.source import SourceTurn
from turnlog_compressor.summariser import EXTRACTIVE, Summariser

TURNS = [
    SourceTurn(1, "user", "Ann", "I moved to Lisbon last week with my two cats.", "2026-05-01T10:00:00Z"),
    SourceTurn(2, "assistant", "Bot", "Congratulations! How are the cats settling in?", "2026-05-01T10:01:00Z"),
]
PROMPT = prompt_for_turns(TURNS, 400)
GOOD = "[1] Ann moved to Lisbon in April 2026 with two cats."
PROVIDERS = ["openai", "anthropic"]

Behaviour = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A model server. `behaviours` are played one a request; the last one stays."""

    provider: str
    behaviours: list[Behaviour]
    requests: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    sent_bytes: int = 0
    port: int = 0
    connections: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, any number of requests."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:]
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines) if k}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.headers.append(headers)
                self.requests.append(json.loads(body or b"{}"))
                self.arrived.set()
                behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                await behave(self, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def events(self, text: str, end: str | None = "stop") -> bytes:
        """A streamed answer in the provider's form; `end` None leaves out how it ended."""
        if self.provider == "openai":
            pieces: list[dict[str, object]] = [{"delta": {"role": "assistant", "content": text}}]
            pieces += [{"delta": {}, "finish_reason": end}] if end else []
            chunks: list[dict[str, Any]] = [
                {"id": "x", "model": "served-1", "choices": [{"index": 0, **piece}]} for piece in pieces
            ]
            usage = {"prompt_tokens": 321, "completion_tokens": 12, "total_tokens": 333}
            chunks.append({"id": "x", "model": "served-1", "choices": [], "usage": usage})
            return b"".join(b"data: %s\n\n" % json.dumps(c).encode() for c in chunks) + b"data: [DONE]\n\n"
        ends = {"stop": "end_turn", "length": "max_tokens"}
        message: dict[str, Any] = {
            "id": "x",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "served-1",
        }
        message |= {"usage": {"input_tokens": 321, "output_tokens": 1}, "stop_reason": None, "stop_sequence": None}
        delta = {"type": "text_delta", "text": text}
        told: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
        told += [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
        told += [{"type": "content_block_delta", "index": 0, "delta": delta}]
        if end:
            stop = {"stop_reason": ends[end], "stop_sequence": None}
            told += [{"type": "content_block_stop", "index": 0}]
            told += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 12}}]
            told += [{"type": "message_stop"}]
        return b"".join(b"event: %s\ndata: %s\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in told)


async def send(writer: asyncio.StreamWriter, status: str, body: bytes, **headers: str) -> None:
    fields = {"content-type": "text/event-stream", "content-length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
    await writer.drain()


def answers(text: str = GOOD, end: str | None = "stop") -> Behaviour:
    async def behave(server: Server, writer: asyncio.StreamWriter) -> None:
        await send(writer, "200 OK", server.events(text, end))

    return behave


def refuses(status: str, **headers: str) -> Behaviour:
    async def behave(_: Server, writer: asyncio.StreamWriter) -> None:
        body = b'{"error": {"message": "no", "type": "t"}}'
        await send(writer, status, body, content_type="application/json", **headers)

    return behave


def says(body: bytes, content_type: str = "text/event-stream", **headers: str) -> Behaviour:
    async def behave(_: Server, writer: asyncio.StreamWriter) -> None:
        await send(writer, "200 OK", body, content_type=content_type, **headers)

    return behave


async def hangs_up(_: Server, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    raise ConnectionError


async def stays_silent(_: Server, writer: asyncio.StreamWriter) -> None:
    """Half-open: the request was taken, nothing ever comes."""
    await writer.drain()
    await asyncio.Event().wait()


async def drips(server: Server, writer: asyncio.StreamWriter) -> None:
    """A heartbeat now and then, so that no read ever times out, and never an answer."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b": still there\n\n" if server.provider == "openai" else b"event: ping\ndata: {}\n\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def breaks_off(server: Server, writer: asyncio.StreamWriter) -> None:
    whole = server.events(GOOD)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(whole)}\r\n\r\n"
    writer.write(head.encode() + whole[: len(whole) // 3])
    await writer.drain()
    writer.transport.abort()
    raise ConnectionError


def never_ends(piece: Callable[[Server], bytes], status: str = "200 OK") -> Behaviour:
    async def behave(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".encode())
        chunk = piece(server)
        while True:
            writer.write(chunk)
            await writer.drain()
            server.sent_bytes += len(chunk)

    return behave


def trickles(whole: Callable[[Server], bytes]) -> Behaviour:
    """One byte at a time, over and over the last hundred: each read succeeds, and there is no end."""

    async def behave(server: Server, writer: asyncio.StreamWriter) -> None:
        data = whole(server)
        at = 0
        while True:
            writer.write(data[at : at + 1])
            await writer.drain()
            at = at + 1 if at + 1 < len(data) else len(data) - 100
            await asyncio.sleep(0.001)

    return behave


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"


def _head_without_end(_: Server) -> bytes:
    return HEAD + b"x-more: and more\r\n" * 10


def _text_without_end(server: Server) -> bytes:
    return HEAD + b"\r\n" + server.events("word " * 50, None).partition(b"data: [DONE]")[0]


def _error_without_end(_: Server) -> bytes:
    return HEAD.replace(b"200 OK", b"503 Service Unavailable") + b"\r\n" + b'{"error": "' + b"x" * 500


def floods(first: bytes, piece: bytes) -> Behaviour:
    async def behave(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(piece)
            await writer.drain()
            server.sent_bytes += len(piece)

    return behave


@asynccontextmanager
async def serving(provider: str, *behaviours: Behaviour) -> AsyncIterator[tuple[Server, Model]]:
    server = Server(provider, list(behaviours))
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**22)
    server.port = listener.sockets[0].getsockname()[1]
    model: Model
    if provider == "openai":
        model = OpenAICompatible("asked-1", base_url=f"http://127.0.0.1:{server.port}/v1", api_key="secret-key")
    else:
        model = Anthropic("asked-1", base_url=f"http://127.0.0.1:{server.port}", api_key="secret-key")
    try:
        yield server, model
    finally:
        await model.close()
        listener.close()
        for connection in server.connections:
            connection.cancel()
        await asyncio.gather(*server.connections, return_exceptions=True)


def attempts(
    model: Model, *, tries: int = 3, total_s: float = 20.0, failures: int = 5, call_s: float = 5.0
) -> Attempts:
    settings = AttemptSettings(attempts=tries, call_s=call_s, total_s=total_s, backoff_s=0.001, backoff_max_s=0.002)
    return Attempts(model, settings, BreakerSettings(failures, open_s=60), BudgetSettings())


async def kind_of(model: Model, deadline_s: float = 5.0) -> str:
    with pytest.raises(ModelError) as failed:
        await model.complete(PROMPT, max_tokens=100, deadline_s=deadline_s)
    assert failed.value.__cause__ is None
    return failed.value.kind


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_whole_answer_comes_back_with_its_cost(provider: str) -> None:
    async with serving(provider, answers()) as (server, model):
        reply = await model.complete(PROMPT, max_tokens=100, deadline_s=5)
    assert (reply.text, reply.model, reply.tokens_in, reply.tokens_out) == (GOOD, "served-1", 321, 12)
    (request,) = server.requests
    assert request["model"] == "asked-1"
    assert request["stream"] is True
    assert request["max_tokens"] == 100
    messages = request["messages"]
    assert isinstance(messages, list)
    assert messages[-1]["content"] == PROMPT.user
    assert "secret-key" in (server.headers[0].get("authorization", "") + server.headers[0].get("x-api-key", ""))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (refuses("401 Unauthorized"), "unauthorized"),
        (refuses("403 Forbidden"), "unauthorized"),
        (refuses("404 Not Found"), "not_found"),
        (refuses("400 Bad Request"), "bad_request"),
        (refuses("429 Too Many Requests", retry_after="3"), "rate_limited"),
        (refuses("500 Internal Server Error"), "server_error"),
        (refuses("529 Overloaded"), "server_error"),
        (refuses("302 Found", location="http://127.0.0.1:1/"), "server_error"),
        (hangs_up, "connection"),
        (breaks_off, "connection"),
        (answers(end=None), "garbage"),
        (answers(end="length"), "truncated"),
        (answers("x" * 70_000), "too_long"),
        (says(b"<html>hello</html>", "text/html"), "garbage"),
        (says(b"data: {not json\n\n"), "garbage"),
        (says(b"event: message_start\ndata: [1, 2\n\n"), "garbage"),
        (says(b"\xff\xfe\x00\n\n"), "garbage"),
        (says(b""), "garbage"),
        (says(b"\x1f\x8b\x08\x00bomb", content_encoding="gzip"), "too_long"),
    ],
)
async def test_a_failure_has_a_kind(provider: str, behaviour: Behaviour, kind: str) -> None:
    async with serving(provider, behaviour) as (server, model):
        found = await kind_of(model)
    assert len(server.requests) == 1, "the SDK must not retry by itself"
    assert found == kind


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_server_that_is_not_there_is_a_connection_failure(provider: str) -> None:
    async with serving(provider, answers()) as (_, model):
        pass
    assert await kind_of(model) == "connection"
    await model.close()


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "behaviour",
    [
        stays_silent,
        drips,
        trickles(_head_without_end),
        trickles(_text_without_end),
        trickles(_error_without_end),
        floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    ],
)
async def test_the_deadline_holds_for_the_whole_call(provider: str, behaviour: Behaviour) -> None:
    async with serving(provider, behaviour) as (_, model):
        started = time.monotonic()
        assert await kind_of(model, deadline_s=0.3) == "timeout"
    assert time.monotonic() - started < 3


def _long_line(_: Server) -> bytes:
    return b"data: " + b"x" * 65_536


def _many_tokens(server: Server) -> bytes:
    return server.events("word " * 500, None).partition(b"data: [DONE]")[0]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "behaviour",
    [
        never_ends(_long_line),
        never_ends(_many_tokens),
        never_ends(lambda _: b": comment\n" * 5_000),
        never_ends(lambda _: b"x" * 65_536, "500 Internal Server Error"),
    ],
)
async def test_an_endless_answer_is_cut_while_it_is_read(provider: str, behaviour: Behaviour) -> None:
    async with serving(provider, behaviour) as (server, model):
        assert await kind_of(model) == "too_long"
    assert server.sent_bytes < 40 * 2**20


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("piece", [b"x-more: and more\r\n" * 500, b"x" * 65_536])
async def test_endless_headers_are_cut_while_they_are_read(provider: str, piece: bytes) -> None:
    async with serving(provider, floods(HEAD, piece)) as (server, model):
        assert await kind_of(model) == "connection"
    assert server.sent_bytes < 8 * 2**20


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_all_attempts_together_are_bounded_whatever_the_server_does(provider: str) -> None:
    async with serving(provider, trickles(_text_without_end)) as (server, model):
        started = time.monotonic()
        with pytest.raises(ModelError, match="timeout"):
            await attempts(model, tries=50, call_s=0.2, total_s=1.0).ask(PROMPT, {}, 400)
        assert time.monotonic() - started < 1.0 + 0.2 + 1.0
    assert 2 <= len(server.requests) <= 6


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_may_pass_is_tried_again_and_retry_after_is_honoured(provider: str) -> None:
    behaviours = [refuses("429 Too Many Requests", retry_after="0.3"), hangs_up, answers()]
    async with serving(provider, *behaviours) as (server, model):
        started = time.monotonic()
        answer = await attempts(model).ask(PROMPT, {1: "then"}, 400)
    assert [line.text for line in answer.lines] == ["Ann moved to Lisbon in April 2026 with two cats."]
    assert len(server.requests) == 3
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_is_no_summary_is_asked_for_again(provider: str) -> None:
    async with serving(provider, answers("As an AI, I cannot."), answers()) as (server, model):
        answer = await attempts(model).ask(PROMPT, {}, 400)
    assert answer.model == "served-1"
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_retry_after_beyond_the_deadline_ends_the_attempts_at_once(provider: str) -> None:
    async with serving(provider, refuses("429 Too Many Requests", retry_after="3600")) as (server, model):
        started = time.monotonic()
        with pytest.raises(ModelError, match="rate_limited"):
            await attempts(model).ask(PROMPT, {}, 400)
    assert len(server.requests) == 1
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_will_not_pass_is_not_tried_again(provider: str) -> None:
    async with serving(provider, refuses("401 Unauthorized")) as (server, model):
        with pytest.raises(ModelError, match="unauthorized"):
            await attempts(model).ask(PROMPT, {}, 400)
    assert len(server.requests) == 1


async def test_a_model_that_keeps_failing_is_left_alone() -> None:
    async with serving("openai", refuses("500 Internal Server Error")) as (server, model):
        guarded = attempts(model, tries=2, failures=4)
        for _ in range(5):
            with pytest.raises(ModelError):
                await guarded.ask(PROMPT, {}, 400)
    assert len(server.requests) == 4


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "behaviour",
    [
        hangs_up,
        refuses("500 Internal Server Error"),
        refuses("401 Unauthorized"),
        breaks_off,
        stays_silent,
        answers("nonsense"),
        answers(GOOD, "length"),
        says(b""),
        never_ends(_long_line),
    ],
)
async def test_without_an_answer_the_summary_is_extractive_and_whole(provider: str, behaviour: Behaviour) -> None:
    async with serving(provider, behaviour) as (_, model):
        summary = await Summariser(attempts(model, tries=2, call_s=0.5)).of_turns(TURNS, [])
    assert (summary.model, summary.model_kind, summary.fell_back) == (EXTRACTIVE, "extractive", True)
    assert "Lisbon" in summary.text


async def test_with_an_answer_the_summary_is_the_models() -> None:
    async with serving("anthropic", answers()) as (_, model):
        summary = await Summariser(attempts(model)).of_turns(TURNS, [])
    assert (summary.model, summary.model_kind, summary.fell_back) == ("served-1", "model", False)
    assert (summary.tokens_in, summary.tokens_out, summary.prompt_version) == (321, 12, "1")
    assert summary.text == "1 May 2026\nAnn moved to Lisbon in April 2026 with two cats."


async def test_a_cancelled_call_leaves_no_connection_and_no_breaker_open() -> None:
    async with serving("openai", stays_silent, answers()) as (server, model):
        guarded = attempts(model, failures=1)
        call = asyncio.create_task(guarded.ask(PROMPT, {}, 400))
        await server.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await guarded.ask(PROMPT, {}, 400)).lines
