"""HTTP/1.1 over one kept-alive connection, raw: little beside the load, and every byte and break is seen as it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

LINE_MAX_BYTES = 1 << 20
BROKEN = (OSError, EOFError, asyncio.LimitOverrunError, ValueError)
"""What a connection that broke, or an answer that is no HTTP, shows as."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """One connection with one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.used_s = time.monotonic()

    @classmethod
    async def open(cls, url: str) -> "Connection":
        """Connect. Raises `OSError`."""
        place = urlsplit(url)
        assert place.hostname is not None
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=LINE_MAX_BYTES)
        return cls(reader, writer)

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a request and read its answer. Raises one of `BROKEN`."""
        status, found = await self.begin(method, target, headers, body)
        data = await self.rest(found)
        self.used_s = time.monotonic()
        return Answer(status, found, data)

    async def rest(self, headers: Mapping[str, str]) -> bytes:
        """The body of the answer whose head was read. Raises one of `BROKEN`."""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        return await self._reader.readexactly(int(headers.get("content-length", 0)))

    async def begin(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, str]]:
        """Send a request and read the head of its answer: status and headers (names in lower case)."""
        lines = [f"{method} {target} HTTP/1.1", "host: turnlog", *(f"{k}: {v}" for k, v in headers.items())]
        if body or method != "GET":
            lines.append(f"content-length: {len(body)}")
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in head[1:] if line)
        return int(head[0].split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked answer as they come. Raises one of `BROKEN` when it is cut short."""
        while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")

    def close(self) -> None:
        """Close without ceremony."""
        self._writer.close()
