"""HTTP by hand, for tests of what libraries would never send: bytes out, answers in."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

ANSWER_S = 15.0


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's only value, or None."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, (name, found)
        return found[0] if found else None

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        """Whether it is the connection's last."""
        return self.header("connection") == "close"

    def problem(self) -> dict[str, Any]:
        """The `error` member, having checked that the whole is in the one form."""
        assert self.header("content-type") == "application/problem+json", self
        body = self.json
        error: dict[str, Any] = body["error"]
        assert set(body) == {"type", "title", "status", "detail", "error"}, body
        assert set(error) == {"type", "message", "code", "param"}, body
        assert body["status"] == self.status
        assert body["detail"] == error["message"]
        return error


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def answer(self) -> Answer | None:
        """The next answer; None when the connection was closed instead."""
        async with asyncio.timeout(ANSWER_S):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as end:
                return self._nothing(end.partial)
            except ConnectionError:
                return None
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            status = int(first.split(" ")[1])
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
            length = int(dict(headers).get("content-length", "0"))
            return Answer(status, headers, await self._reader.readexactly(length))

    def _nothing(self, partial: bytes) -> None:
        assert not partial, partial

    async def final(self) -> Answer | None:
        """The next answer that is not `100 Continue`."""
        while (found := await self.answer()) is not None and found.status == 100:
            pass
        return found

    async def closed(self) -> float:
        """Wait until the other side has closed; how long that took, in seconds."""
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            while True:
                try:
                    rest = await self._reader.read(65_536)
                except ConnectionError:
                    rest = b""
                assert not rest, rest[:200]
                return time.monotonic() - began


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection, closed on leaving."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def request(
    method: str, path: str, *fields: str, body: bytes | None = None, host: str | None = "turnlog", version: str = "1.1"
) -> bytes:
    """A request's bytes: its header fields as given, behind Host, before a Content-Length for the body."""
    lines = [f"{method} {path} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def ask(port: int, data: bytes) -> Answer:
    """What these bytes, sent on a connection of their own, are answered with. When the answer says that the connection
    ends, it must."""
    async with connected(port) as wire:
        wire.writer.write(data)
        found = await wire.final()
        assert found is not None, "closed without an answer"
        if found.closes:
            await wire.closed()
        return found
