"""Replicas that misbehave on purpose, to see what stands in front of them do: no service would break off on command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum


class Manner(Enum):
    """How a stand-in answers."""

    ANSWERS = "200 with its name"
    CUTS = "reads the request, then closes without a word"
    LEAVES = "503, as a replica that is draining"
    STREAMS = "one event, and then nothing for a long time"


@dataclass
class StandIn:
    """A replica: its name, and the requests it saw as (request line, headers)."""

    name: str
    manner: Manner
    port: int = 0
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:]) if k}
                await reader.readexactly(int(headers.get("content-length", "0")))
                self.seen.append((head[0], headers))
                if self.manner is Manner.CUTS:
                    break
                writer.write(self._answer())
                await writer.drain()
        writer.close()

    def _answer(self) -> bytes:
        if self.manner is Manner.STREAMS:
            event = b"event: turn\ndata: {}\n\n"
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            return head.encode() + f"{len(event):x}\r\n".encode() + event + b"\r\n"
        status = "503 Service Unavailable" if self.manner is Manner.LEAVES else "200 OK"
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(self.name)}\r\n\r\n{self.name}".encode()


@contextlib.asynccontextmanager
async def standing_in(*replicas: StandIn) -> AsyncIterator[None]:
    """Serve them on free ports of this machine."""
    async with contextlib.AsyncExitStack() as stack:
        for replica in replicas:
            server = await asyncio.start_server(replica, "127.0.0.1", 0)
            replica.port = server.sockets[0].getsockname()[1]
            stack.callback(server.close)
        yield
