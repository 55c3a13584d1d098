"""The load generator: what it sends, and that what it counts is what the server answered."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import orjson
import pytest

from turnlog_bench import material
from turnlog_bench.load import carry_out
from turnlog_bench.orders import Order, Outcome
from turnlog_events.event import TURN_STORED
from turnlog_ingest.turn_body import TurnBody, turn_event

CREATED = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Answers every request with the same bytes, cut into parts as told."""

    def __init__(self, answer: bytes = CREATED, cut: int | None = None) -> None:
        self.answer, self.cut = answer, cut
        self.requests: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(h[16:]) for h in head.split(b"\r\n") if h.startswith(b"content-length: ")), 0)
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer[: self.cut])
                await writer.drain()
                if self.cut is not None:
                    await asyncio.sleep(0)
                    writer.write(self.answer[self.cut :])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def order(server: Server, **given: object) -> Order:
    plain = Order("single", server.port, 3, 0.1, 0.0, prefix="p", place="s", sessions=5)
    return replace(plain, **given)  # type: ignore[arg-type]


async def outcome(server: Server, **given: object) -> Outcome:
    async with serving(server):
        return await carry_out(order(server, **given))


async def test_every_answer_is_counted_as_accepted() -> None:
    server = Server()
    found = await outcome(server)
    assert found.accepted == len(server.requests) > 0
    assert found.failed == {}
    assert 0 < len(found.latencies_ms) <= found.accepted


async def test_no_turn_is_sent_twice() -> None:
    server = Server()
    await outcome(server)
    ids = [orjson.loads(request.split(b"\r\n\r\n", 1)[1])["turn_id"] for request in server.requests]
    assert len(ids) == len(set(ids)) > 0


async def test_refusals_are_told_by_status_and_not_counted_as_accepted() -> None:
    found = await outcome(Server(b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n"))
    assert found.accepted == 0
    assert found.failed["503"] > 0


@pytest.mark.parametrize("cut", [5, 30, len(CREATED) - 5, len(CREATED) - 2, len(CREATED) - 1])
async def test_an_answer_in_parts_is_one_answer(cut: int) -> None:
    server = Server(cut=cut)
    found = await outcome(server)
    assert found.accepted == len(server.requests) > 0


@pytest.mark.parametrize("source, strays", [(b"redis", False), (b"postgres", True)])
async def test_reads_that_did_not_come_from_redis_are_told(source: bytes, strays: bool) -> None:
    body = b'{"turns":[],"source":"' + source + b'"}'
    server = Server(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    found = await outcome(server, kind="read")
    assert (found.off_redis > 0) is strays


async def test_paced_load_sends_what_is_due_whatever_the_server_does() -> None:
    server = Server()
    found = await outcome(server, per_s=200.0, seconds=0.3)
    assert 40 <= found.accepted == len(server.requests) <= 61


async def test_a_closed_connection_is_a_failure() -> None:
    class Closing(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    found = await outcome(Closing())
    assert list(found.failed) == ["closed (None)"]


async def test_an_answer_that_ends_its_connection_is_followed_by_a_new_one() -> None:
    class Ending(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            writer.close()

    server = Ending()
    found = await outcome(server)
    assert found.failed == {}
    assert found.accepted == len(server.requests) > 3


def body_of(request: bytes) -> bytes:
    head, body = request.split(b"\r\n\r\n", 1)
    assert b"content-length: %d" % len(body) in head
    return body


def test_a_rendered_turn_is_one_that_the_api_takes() -> None:
    (request,) = material.single_posts("p", "s", 1, 1)
    assert request.startswith(b"POST /v1/sessions/s-0/turns HTTP/1.1\r\n")
    assert 150 < len(TurnBody.model_validate_json(body_of(request)).content) <= material.CONTENT_CHARS


def test_many_turns_are_rendered_into_one_request() -> None:
    (request,) = material.many_posts("p", "s", 1, 1, turns=100)
    turns = orjson.loads(body_of(request))["turns"]
    assert len({turn["turn_id"] for turn in turns}) == 100


def test_an_event_made_directly_is_the_one_that_http_would_make() -> None:
    (direct,) = material.events("s", "p", [3])
    sent = turn_event("default", "s", orjson.loads(material.turn_json(3, "p.3")), None)
    assert direct.type == TURN_STORED
    assert (direct.payload, direct.key, direct.agent_id) == (sent.payload, sent.key, sent.agent_id)


@pytest.mark.parametrize("make", [lambda: material.single_posts("p", "s", 9, 50), lambda: material.reads("s", 9, 20)])
def test_material_is_the_same_for_the_same_arguments(make: Callable[[], list[bytes]]) -> None:
    assert make() == make()
