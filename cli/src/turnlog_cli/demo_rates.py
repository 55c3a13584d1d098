"""A quick impression of rates for the demo; the bench measures properly."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from turnlog_cli.errors import CommandError
from turnlog_client import AsyncClient, turn

BULK_TURNS = 3_000
CALLS, AT_ONCE = 1_500, 16
SESSIONS = 100
"""So many that none becomes due for a summary: that would be another measurement."""
FRESHNESS_TURNS = 20


@dataclass(frozen=True)
class Rate:
    """One figure."""

    name: str
    value: float
    unit: str


async def measure(client: AsyncClient, key: str | None) -> list[Rate]:
    """Load, single writes, reads and freshness, a few seconds in all. `key` is what the client shows."""
    began = time.perf_counter()
    lines = (
        {"session_id": f"demo-bulk-{n % SESSIONS}", **turn("user", f"Turn {n} of a load.")} for n in range(BULK_TURNS)
    )
    async for _ in client.load(lines):
        pass
    loaded = BULK_TURNS / (time.perf_counter() - began)

    def write(number: int) -> tuple[str, str, bytes]:
        body = b'{"role":"user","content":"Turn %d, alone in its request."}' % number
        return "POST", f"/v1/sessions/demo-single-{number % SESSIONS}/turns", body

    def read(number: int) -> tuple[str, str, bytes]:
        return "GET", f"/v1/sessions/demo-bulk-{number % SESSIONS}/turns?limit=20", b""

    return [
        Rate("load, 1,000 turns a request", loaded, "turns/s"),
        Rate(f"single writes, {AT_ONCE} at once", await _per_s(client.url, key, write), "turns/s"),
        Rate(f"reads of 20 recent turns, {AT_ONCE} at once", await _per_s(client.url, key, read), "reads/s"),
        Rate("from acknowledged to readable, median", 1_000 * await _freshness_s(client), "ms"),
    ]


async def _per_s(url: str, key: str | None, call: Callable[[int], tuple[str, str, bytes]]) -> float:
    """Calls a second over a few plain connections: a comfortable client would be the limit."""
    numbers, host, port = iter(range(CALLS)), *url.removeprefix("http://").split(":")
    shown = f"authorization: Bearer {key}\r\n" if key else ""

    async def some() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for number in numbers:
                await _exchange(reader, writer, shown, *call(number))
        finally:
            writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return CALLS / (time.perf_counter() - began)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shown: str, method: str, path: str, body: bytes
) -> None:
    """One request and its whole answer, which must be a success."""
    head = f"{method} {path} HTTP/1.1\r\nhost: turnlog\r\n{shown}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(length)
    if not answer.startswith(b"http/1.1 2"):
        raise CommandError(f"{method} {path} was answered {answer.split(b' ', 2)[1].decode()}")


async def _freshness_s(client: AsyncClient) -> float:
    seconds = []
    for number in range(FRESHNESS_TURNS):
        placed = await client.store("demo-fresh", "user", f"Turn {number}.")
        began = time.perf_counter()
        while (await client.turns("demo-fresh", limit=1))["version"] < placed.version:
            pass
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
