"""Bytes that are no request everybody reads alike, on real connections to the running API: each is answered in the one
form, and its connection ends."""

import asyncio
from typing import Any

import pytest

from attacks import TURN, Attack, names, post_turn
from querying import fresh
from wire import connected, request

LIVEZ = request("GET", "/livez")
CHUNKED = "Transfer-Encoding: chunked"


def head(*lines: str | bytes, end: bytes = b"\r\n") -> bytes:
    """Lines as they are, each ended by `end`, and an empty one."""
    return b"".join((line.encode("latin-1") if isinstance(line, str) else line) + end for line in [*lines, ""])


def get(*fields: str | bytes) -> bytes:
    return head("GET /livez HTTP/1.1", "Host: t", *fields)


def chunked(session: str, *parts: bytes) -> bytes:
    return request("POST", f"/v1/sessions/{session}/turns", CHUNKED) + b"".join(parts)


def bad(name: str, sent: bytes, param: str | None = None) -> Attack:
    return Attack(name, sent, 400, "malformed_request", param, closes=True)


def bad_chunks(name: str, *parts: bytes) -> Attack:
    return Attack(name, lambda s: chunked(s, *parts), 400, "malformed_request", closes=True)


def framed(*fields: str) -> bytes:
    return head("POST /v1/sessions/s/turns HTTP/1.1", "Host: t", *fields) + b"0\r\n\r\n"


FRAMING = [
    bad("length beside chunks", framed("Content-Length: 5", CHUNKED)),
    bad("chunks beside length", framed(CHUNKED, "Content-Length: 5")),
    bad("two lengths", framed("Content-Length: 5", "Content-Length: 5")),
    bad("two different lengths", framed("Content-Length: 5", "Content-Length: 6")),
    bad("a list of lengths", framed("Content-Length: 5, 5")),
    bad("signed length", framed("Content-Length: +5")),
    bad("negative length", framed("Content-Length: -5")),
    bad("hexadecimal length", framed("Content-Length: 0x5")),
    bad("empty length", framed("Content-Length: ")),
    bad("length beyond 64 bits", framed("Content-Length: 99999999999999999999")),
    bad("another coding before chunked", framed("Transfer-Encoding: gzip, chunked"), "transfer-encoding"),
    bad("chunked twice", framed("Transfer-Encoding: chunked, chunked")),
    bad("chunked in two lines", framed(CHUNKED, CHUNKED)),
    bad("chunked, then another", framed(CHUNKED, "Transfer-Encoding: identity")),
    bad("unknown coding", framed("Transfer-Encoding: xchunked"), "transfer-encoding"),
    bad("identity", framed("Transfer-Encoding: identity"), "transfer-encoding"),
    bad("space before the colon", framed("Transfer-Encoding : chunked")),
    bad("vertical tab before the value", framed("Transfer-Encoding: \x0bchunked")),
    bad("chunks in HTTP/1.0", head("POST /v1/turns HTTP/1.0", CHUNKED) + b"0\r\n\r\n", "transfer-encoding"),
    bad(
        "another protocol, with a body to be read as the next request",
        head("POST /livez HTTP/1.1", "Host: t", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 50"),
        "upgrade",
    ),
    bad_chunks("chunk size that is none", b"xyz\r\nabc\r\n0\r\n\r\n"),
    bad_chunks("chunk size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    bad_chunks("negative chunk size", b"-3\r\nabc\r\n0\r\n\r\n"),
    bad_chunks("chunk size beyond 64 bits", b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    bad_chunks("chunk longer than its size", b"3\r\nabcd\r\n0\r\n\r\n"),
    bad_chunks("chunk size ended by LF", b"3\nabc\n0\n\n"),
    bad_chunks("chunk extension with LF", b"3;a\nbc\r\nabc\r\n0\r\n\r\n"),
    Attack(
        "chunk extensions that cost more than they carry",
        lambda s: chunked(s, *[b"1;" + b"x" * 4_000 + b"\r\n \r\n"] * 200),
        400,
        "malformed_request",
        "transfer-encoding",
        closes=True,
    ),
]
HEADS = [
    bad("no host", head("GET /livez HTTP/1.1"), "host"),
    bad("two hosts", get("Host: t"), "host"),
    bad("two different hosts", get("Host: u"), "host"),
    bad("a host that is none", head("GET /livez HTTP/1.1", "Host: a b/c"), "host"),
    bad("two hosts in HTTP/1.0", head("GET /livez HTTP/1.0", "Host: t", "Host: u"), "host"),
    bad("folded line", get("X: a", " b")),
    bad("folded first line", head("GET /livez HTTP/1.1", " Host: t")),
    bad("lines ended by LF", head("GET /livez HTTP/1.1", "Host: t", end=b"\n")),
    bad("one line ended by LF", b"GET /livez HTTP/1.1\r\nHost: t\nX: b\r\n\r\n"),
    bad("lines ended by CR", head("GET /livez HTTP/1.1", "Host: t", end=b"\r") + b"\r\n\r\n"),
    bad("CR in a value", get("X: a\rb")),
    bad("NUL in a value", get("X: a\0b")),
    bad("escape sequence in a value", get("X: \x1b[31m")),
    bad("NUL in a name", get("X\0: a")),
    bad("tab before the colon", get("X\t: a")),
    bad("no colon", get("X")),
    bad("no name", get(": a")),
    Attack("70 KB header", get("X: " + "y" * 70_000), 431, "head_too_large", closes=True),
    Attack("70 KB of headers", get(*[f"X{n}: {'y' * 700}" for n in range(100)]), 431, "head_too_large", closes=True),
    Attack("70 KB header without an end", get("X: " + "y" * 70_000)[:-4], 431, "head_too_large", closes=True),
    Attack("101 headers", get(*[f"X{n}: y" for n in range(100)]), 431, "head_too_large", closes=True),
    Attack("70 KB target", request("GET", "/" + "y" * 70_000), 414, "target_too_long", closes=True),
    Attack("unknown expectation", get("Expect: a miracle"), 417, "expectation_failed", "expect", closes=True),
]
REQUEST_LINES = [
    bad("unknown method", request("FETCH", "/livez")),
    bad("method in lower case", request("get", "/livez")),
    bad("no method", b" /livez HTTP/1.1\r\nHost: t\r\n\r\n"),
    bad("no target", head("GET  HTTP/1.1", "Host: t")),
    bad("space in the target", request("GET", "/a b")),
    bad("control character in the target", request("GET", "/\x01")),
    bad("byte beyond ASCII in the target", request("GET", "/\xe9")),
    bad("fragment in the target", request("GET", "/livez#x")),
    bad("target that is no path", request("GET", "livez")),
    bad("foreign scheme", request("GET", "ftp://t/livez")),
    bad("tunnel", request("CONNECT", "t:443")),
    bad("HTTP/0.9", b"GET /livez\r\n\r\n"),
    bad("HTTP/1.2", request("GET", "/livez", version="1.2")),
    bad("HTTP/2.0", request("GET", "/livez", version="2.0")),
    bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("http in lower case", head("GET /livez http/1.1", "Host: t")),
    bad("RTSP", head("DESCRIBE rtsp://t/livez RTSP/1.0", "Host: t")),
    bad("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 32),
    bad("noise", bytes(range(255, 0, -1))),
]
TAKEN = [
    Attack("an absolute target", request("GET", "http://elsewhere/livez"), 200, closes=False),
    Attack("empty lines before", b"\r\n\r\n" + LIVEZ, 200, closes=False),
    Attack("HTTP/1.0", head("GET /livez HTTP/1.0"), 200, closes=True),
    Attack("an upgrade offered", get("Connection: Upgrade", "Upgrade: h2c"), 200, closes=True),
    Attack("a web socket asked for", get("Connection: Upgrade", "Upgrade: websocket"), 200, closes=True),
    Attack("chunks", lambda s: chunked(s, b"%x\r\n" % len(TURN), TURN, b"\r\n0\r\n\r\n"), 201, closes=False),
    Attack(
        "chunks of one byte",
        lambda s: chunked(s, *[b"1\r\n%c\r\n" % byte for byte in TURN + b" " * 20_000], b"0\r\n\r\n"),
        201,
        closes=False,
    ),
    Attack("a chunk extension", lambda s: chunked(s, b"%x;a=b\r\n" % len(TURN), TURN, b"\r\n0\r\n\r\n"), 201),
    Attack("live events over HTTP/1.0", head("GET /v1/sessions/s/events HTTP/1.0"), 400, "http_version"),
    Attack("any target of OPTIONS", request("OPTIONS", "*"), 404, "route_not_found"),
    Attack("trace", request("TRACE", "/v1/sessions/s"), 405, "method_not_allowed"),
]


@pytest.mark.parametrize(
    "attack", [*FRAMING, *HEADS, *REQUEST_LINES, *TAKEN], ids=names([*FRAMING, *HEADS, *REQUEST_LINES, *TAKEN])
)
async def test_a_request_is_read_as_everybody_would_read_it_or_refused(door: Any, attack: Attack) -> None:
    await attack.made_on(door.port, fresh())


async def test_a_trailer_does_not_pass_for_a_header(door: Any) -> None:
    session = fresh()
    sent = chunked(session, b"%x\r\n" % len(TURN), TURN, b"\r\n0\r\nIdempotency-Key: forged\r\n\r\n")
    answer = await Attack("trailer", sent, 201).made_on(door.port, session)
    assert answer.json["turn_id"] != "forged"


async def test_requests_in_a_pipeline_are_answered_in_order_and_garbage_after_them_last(door: Any) -> None:
    session = fresh()
    async with connected(door.port) as wire:
        turns = [post_turn(b'{"role":"user","content":"%d"}' % n)(session) for n in range(5)]
        wire.writer.write(b"".join(turns) + LIVEZ + b"GARBAGE\r\n\r\n" + LIVEZ)
        answers = [await wire.answer() for _ in range(7)]
        assert [a.status for a in answers if a] == [201] * 5 + [200, 400]
        assert [a.json["version"] for a in answers[:5] if a] == [1, 2, 3, 4, 5]
        await wire.closed()


async def test_nothing_after_a_last_request_is_read(door: Any) -> None:
    session = fresh()
    async with connected(door.port) as wire:
        wire.writer.write(get("Connection: close") + post_turn(TURN)(session))
        answer = await wire.answer()
        assert answer is not None
        assert answer.closes
        await wire.closed()
        read = Attack("read", request("GET", f"/v1/sessions/{session}/turns"), 404, "session_not_found", "session_id")
        await read.made_on(door.port, session)


async def test_a_body_that_was_not_read_is_never_taken_for_a_request(door: Any) -> None:
    hidden = post_turn(TURN)(session := fresh())
    for path in ("/nothing", "/livez", "/v1/sessions/a%20b/turns"):
        async with connected(door.port) as wire:
            wire.writer.write(request("POST", path, f"Content-Length: {len(hidden) + 1000}") + hidden)
            answer = await wire.answer()
            assert answer is not None
            assert (answer.status // 100, answer.closes) == (4, True)
            await wire.closed()
    read = Attack("read", request("GET", f"/v1/sessions/{session}/turns"), 404, "session_not_found", "session_id")
    await read.made_on(door.port, session)


async def test_a_client_that_waits_for_100_is_told_to_go_on_or_refused_at_once(door: Any) -> None:
    path = f"/v1/sessions/{fresh()}/turns"
    async with connected(door.port) as wire:
        wire.writer.write(request("POST", path, "Expect: 100-continue", f"Content-Length: {len(TURN)}"))
        goes_on = await wire.answer()
        assert goes_on is not None
        assert goes_on.status == 100
        wire.writer.write(TURN)
        stored = await wire.answer()
        assert stored is not None
        assert (stored.status, stored.closes) == (201, False)
        wire.writer.write(request("POST", path, "Expect: 100-continue", "Content-Length: 50000000"))
        refused = await wire.answer()
        assert refused is not None
        assert (refused.status, refused.closes) == (413, True)
        await wire.closed()


async def test_a_50_mb_body_is_refused_while_it_is_read(door: Any) -> None:
    """Before its end was sent; and a client that goes on sending still gets to read the answer."""
    path = f"/v1/sessions/{fresh()}/turns"
    async with connected(door.port) as wire:
        wire.writer.write(request("POST", path, CHUNKED))
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        sent_bytes = 0
        answering = asyncio.ensure_future(wire.answer())
        while not answering.done() and sent_bytes < 50_000_000:
            wire.writer.write(piece)
            await wire.writer.drain()
            sent_bytes += 65_536
        answer = await answering
        assert answer is not None
        assert (answer.status, answer.problem()["code"], answer.closes) == (413, "body_too_large", True)
        assert sent_bytes < 40_000_000  # 8 MiB and what the buffers of both sides hold

    async with connected(door.port) as whole:
        whole.writer.write(request("POST", path, body=b" " * 50_000_000))
        await whole.writer.drain()
        late = await whole.answer()
        assert late is not None
        assert late.status == 413


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/sessions/s/turns", "DELETE, GET, POST"),
        ("PATCH", "/v1/sessions/s", "GET"),
        ("DELETE", "/v1/sessions/s", "GET"),
        ("POST", "/v1/sessions", "GET"),
        ("GET", "/v1/sessions/s/compress", "POST"),
        ("GET", "/v1/turns", "POST"),
        ("GET", "/tools/store_memory", "POST"),
        ("DELETE", "/tools/get_recent_turns", "POST"),
        ("OPTIONS", "/v1/logs/main/events", "GET"),
        ("POST", "/openapi.json", "GET"),
        ("POST", "/readyz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_all_that_the_path_takes(door: Any, method: str, path: str, allowed: str) -> None:
    answer = await Attack("method", request(method, path), 405, "method_not_allowed").made_on(door.port, "")
    assert answer.header("allow") == allowed
