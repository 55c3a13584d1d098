"""A TCP proxy that can break: what goes in is where it passes on to; what it does to connections is told while it runs.

It has a thread and an event loop of its own, so that a busy driver never slows it, and every change applies to the
connections that stand as well as to new ones. Called by `world.py`, which puts one in front of each server.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

CHUNK_BYTES = 65_536
COMMAND_S = 10.0
UPSTREAM_S = 5.0
NO_LINGER = struct.pack("ii", 1, 0)
T = TypeVar("T")


@dataclass(frozen=True)
class Conduct:
    """What is done to bytes. `cut_down`/`cut_up`: a connection is reset after so many bytes of answers/requests."""

    passes: bool = True
    latency_s: float = 0.0
    bytes_per_s: float | None = None
    cut_down: int | None = None
    cut_up: int | None = None


class Proxy:
    """A running proxy on 127.0.0.1; made by `start`, ended by `close`. Its methods return when they have effect."""

    def __init__(self, upstream: "tuple[str, int] | Path") -> None:
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._conduct = Conduct()
        self._changed = asyncio.Event()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._reserved = _bound(0)
        self.port = int(self._reserved.getsockname()[1])
        self.accepted = 0

    @classmethod
    def start(cls, upstream: "tuple[str, int] | Path") -> "Proxy":
        """Listen on a free port in front of a TCP address or a unix socket (which need not be there yet)."""
        proxy = cls(upstream)
        proxy._thread.start()
        proxy._do(proxy._listen())
        return proxy

    @property
    def connections(self) -> int:
        """How many connections stand now."""
        return len(self._links)

    def pass_on(self) -> None:
        """Behave: what was held back goes on its way."""
        self._do(self._set(Conduct()))

    def refuse(self) -> None:
        """Reset the standing connections and refuse new ones."""
        self._do(self._refuse())

    def blackhole(self) -> None:
        """Leave every connection open, take new ones, and pass nothing on, not even an end."""
        self._do(self._set(Conduct(passes=False)))

    def slow(self, latency_s: float, bytes_per_s: float | None = None) -> None:
        """Pass each piece on after `latency_s`, in each direction, at no more than `bytes_per_s` a connection."""
        self._do(self._set(Conduct(latency_s=latency_s, bytes_per_s=bytes_per_s)))

    def reset(self) -> None:
        """Reset the standing connections, once."""
        self._do(self._reset())

    def cut_after(self, bytes_down: int | None = None, *, bytes_up: int | None = None) -> None:
        """From now on reset each connection after so many more bytes of answers, or of requests."""
        self._do(self._set(Conduct(cut_down=bytes_down, cut_up=bytes_up)))

    def close(self) -> None:
        """Close everything and end the thread; a second call does nothing."""
        if not self._thread.is_alive():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(COMMAND_S)
        self._loop.close()
        self._reserved.close()

    def _do(self, command: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(command, self._loop).result(COMMAND_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._take, sock=_bound(self.port), backlog=512)

    async def _set(self, conduct: Conduct) -> None:
        self._conduct = conduct
        for link in self._links:
            link.passed_down = link.passed_up = 0
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        await self._listen()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for link in tuple(self._links):
            link.reset()

    async def _end(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=COMMAND_S / 2)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = _Link(reader, writer)
        self._links.add(link)
        try:
            await self._until_it_passes()
            if not link.gone:
                await link.connect(self._upstream)
                await asyncio.gather(self._pump(link, down=False), self._pump(link, down=True))
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # a peer went, or the proxy closes: either way this connection is over
        finally:
            link.reset()
            self._links.discard(link)

    async def _until_it_passes(self) -> None:
        while not self._conduct.passes:
            await self._changed.wait()

    async def _pump(self, link: "_Link", *, down: bool) -> None:
        reader, writer = link.ends(down=down)
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._carry(link, writer, data, down=down)
        except OSError:
            await self._until_it_passes()  # not even a broken end gets through
            raise
        await self._until_it_passes()
        with contextlib.suppress(OSError, RuntimeError):  # the other side may have gone first
            writer.write_eof()

    async def _carry(self, link: "_Link", writer: asyncio.StreamWriter, data: bytes, *, down: bool) -> None:
        while data:
            await self._until_it_passes()
            conduct = self._conduct
            size = len(data)
            if conduct.bytes_per_s is not None:
                size = min(size, max(1, int(conduct.bytes_per_s / 20)))
            pause_s = conduct.latency_s + (size / conduct.bytes_per_s if conduct.bytes_per_s else 0.0)
            if pause_s and await _within(self._changed.wait, pause_s):
                continue  # told otherwise meanwhile: look again
            left = link.left(conduct, down=down)
            writer.write(data[: min(size, left)])
            await writer.drain()
            link.count(min(size, left), down=down)
            if left <= size:
                link.reset()
                raise ConnectionResetError
            data = data[size:]


class _Link:
    """One connection: the client's end and ours to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client = (reader, writer)
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.passed_down = self.passed_up = 0
        self.gone = False

    async def connect(self, upstream: "tuple[str, int] | Path") -> None:
        """Reach the server. Raises OSError or TimeoutError."""
        async with asyncio.timeout(UPSTREAM_S):
            if isinstance(upstream, Path):
                self._server = await asyncio.open_unix_connection(str(upstream))
            else:
                self._server = await asyncio.open_connection(*upstream)
        if self.gone:
            self._abort(self._server[1])
            raise ConnectionResetError

    def ends(self, *, down: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Whence and whither, for answers (`down`) or requests."""
        assert self._server is not None
        whence, whither = (self._server, self._client) if down else (self._client, self._server)
        return whence[0], whither[1]

    def left(self, conduct: Conduct, *, down: bool) -> int:
        """How many bytes may still pass."""
        limit, passed = (conduct.cut_down, self.passed_down) if down else (conduct.cut_up, self.passed_up)
        return CHUNK_BYTES * 2 if limit is None else max(0, limit - passed)

    def count(self, size: int, *, down: bool) -> None:
        """So many bytes have passed."""
        if down:
            self.passed_down += size
        else:
            self.passed_up += size

    def reset(self) -> None:
        """End it by RST at both ends; what is still on its way is lost."""
        self.gone = True
        for end in (self._client, self._server):
            if end is not None:
                self._abort(end[1])

    @staticmethod
    def _abort(writer: asyncio.StreamWriter) -> None:
        found = writer.get_extra_info("socket")
        if found is not None and found.fileno() >= 0:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        writer.transport.abort()


async def _within(wait: Callable[[], Coroutine[Any, Any, object]], timeout_s: float) -> bool:
    """Whether what is waited for came within the time."""
    try:
        async with asyncio.timeout(timeout_s):
            await wait()
    except TimeoutError:
        return False
    return True


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.setblocking(False)
    found.bind(("127.0.0.1", port))
    return found
