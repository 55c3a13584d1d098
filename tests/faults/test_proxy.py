"""The proxy against a real echo server: each way to break does what it says, to standing connections too."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.proxy import Proxy

SOON_S = 5.0
NOTHING_S = 0.3


@contextlib.asynccontextmanager
async def echo_server(path: Path | None = None) -> AsyncIterator["tuple[str, int] | Path"]:
    """Sends back what it gets."""
    writers: set[asyncio.StreamWriter] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        writers.discard(writer)

    if path is not None:
        server = await asyncio.start_unix_server(echo, str(path))
    else:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield path or server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with echo_server() as upstream:
        started = Proxy.start(upstream)
        yield started
        started.close()


class Caller:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, data: bytes, wait_s: float = SOON_S) -> bytes:
        """Send and read as much back. Raises TimeoutError or OSError."""
        self.writer.write(data)
        return await self.hear(len(data), wait_s)

    async def hear(self, size: int, wait_s: float = SOON_S) -> bytes:
        async with asyncio.timeout(wait_s):
            return await self.reader.readexactly(size)


@contextlib.asynccontextmanager
async def calling(proxy: Proxy) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


async def test_passes_everything_on_over_tcp(proxy: Proxy) -> None:
    data = bytes(range(256)) * 4_000
    async with calling(proxy) as caller:
        assert await caller.say(data) == data


async def test_passes_everything_on_to_a_unix_socket(tmp_path: Path) -> None:
    async with echo_server(tmp_path / "echo.sock") as upstream:
        proxy = Proxy.start(upstream)
        try:
            async with calling(proxy) as caller:
                assert await caller.say(b"hello") == b"hello"
        finally:
            proxy.close()


async def test_an_end_is_passed_on(proxy: Proxy) -> None:
    async with calling(proxy) as caller:
        await caller.say(b"one")
        caller.writer.write_eof()
        async with asyncio.timeout(SOON_S):
            assert await caller.reader.read() == b""


async def test_a_server_that_is_away_shows_as_a_reset() -> None:
    async with echo_server() as upstream:
        pass
    proxy = Proxy.start(upstream)
    try:
        async with calling(proxy) as caller:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await caller.say(b"one")
    finally:
        proxy.close()


async def test_refusing_resets_what_stands_and_refuses_what_comes(proxy: Proxy) -> None:
    async with calling(proxy) as caller:
        await caller.say(b"one")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await caller.hear(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_after_refusing_the_same_port_serves_again(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    proxy.pass_on()
    assert proxy.port == port
    async with calling(proxy) as caller:
        assert await caller.say(b"back") == b"back"


async def test_half_open_takes_and_holds_everything_until_it_passes_again(proxy: Proxy) -> None:
    async with calling(proxy) as standing:
        await standing.say(b"one")
        proxy.blackhole()
        async with calling(proxy) as new:
            for caller in (standing, new):
                with pytest.raises(TimeoutError):
                    await caller.say(b"two", NOTHING_S)
            proxy.pass_on()
            for caller in (standing, new):
                assert await caller.hear(3) == b"two"


async def test_half_open_hides_even_that_the_server_went() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with echo_server() as upstream:
            proxy = Proxy.start(upstream)
            stack.callback(proxy.close)
            caller = await stack.enter_async_context(calling(proxy))
            await caller.say(b"one")
            proxy.blackhole()
        with pytest.raises(TimeoutError):
            await caller.hear(1, NOTHING_S)
        proxy.pass_on()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await caller.hear(1)


async def test_slow_delays_each_way_and_ends_at_once(proxy: Proxy) -> None:
    async with calling(proxy) as caller:
        await caller.say(b"one")
        proxy.slow(0.15)
        began = time.monotonic()
        await caller.say(b"two")
        assert 0.3 <= time.monotonic() - began < 3
        proxy.slow(60)
        with pytest.raises(TimeoutError):
            await caller.say(b"three", NOTHING_S)
        proxy.pass_on()
        assert await caller.hear(5) == b"three"


async def test_slow_bounds_the_rate(proxy: Proxy) -> None:
    proxy.slow(0, bytes_per_s=100_000)
    data = b"x" * 30_000
    began = time.monotonic()
    async with calling(proxy) as caller:
        assert await caller.say(data) == data
    assert time.monotonic() - began >= 0.3


async def test_reset_ends_what_stands_once(proxy: Proxy) -> None:
    async with calling(proxy) as caller:
        await caller.say(b"one")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await caller.hear(1)
    async with calling(proxy) as caller:
        assert await caller.say(b"two") == b"two"


async def test_an_answer_is_cut_after_so_many_bytes_also_on_what_stands(proxy: Proxy) -> None:
    async with calling(proxy) as standing:
        await standing.say(b"before")
        proxy.cut_after(4)
        async with calling(proxy) as new:
            for caller in (standing, new):
                caller.writer.write(b"abcdefgh")
                got = b""
                with contextlib.suppress(ConnectionResetError):
                    async with asyncio.timeout(SOON_S):
                        while piece := await caller.reader.read(100):
                            got += piece
                assert b"abcd".startswith(got), "a reset may overtake what was sent, but nothing beyond may come"
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await caller.say(b"more")


async def test_a_request_is_cut_after_so_many_bytes() -> None:
    arrived = bytearray()
    ended = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(100):
                arrived.extend(data)
        writer.transport.abort()
        ended.set()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    proxy = Proxy.start(server.sockets[0].getsockname()[:2])
    try:
        proxy.cut_after(bytes_up=5)
        async with calling(proxy) as caller:
            caller.writer.write(b"a whole request")
            async with asyncio.timeout(SOON_S):
                await ended.wait()
        assert b"a who".startswith(bytes(arrived))
    finally:
        proxy.close()
        server.close()
        await server.wait_closed()


async def test_closing_ends_everything_and_frees_the_port() -> None:
    async with echo_server() as upstream:
        proxy = Proxy.start(upstream)
        async with calling(proxy) as caller:
            await caller.say(b"one")
            proxy.blackhole()
            proxy.close()
            proxy.close()
            with pytest.raises(ConnectionResetError):
                await caller.hear(1)
        assert proxy.connections == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", proxy.port)
        server.close()
        await server.wait_closed()
