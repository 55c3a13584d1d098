"""The load generator, a process of its own: raw connections on uvloop that write requests rendered beforehand.

    python -m turnlog_bench.load

Reads an `Order` a line on standard input and answers an `Outcome` a line. It does as little as can be done per answer:
find the length, look at the status, note the time. How far that is from being the limit is measured
(`turnlog_bench.ceiling`).
"""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import cast

import uvloop

from turnlog_bench import material
from turnlog_bench.orders import Order, Outcome

MOST_SINGLE_PER_S = 12_000
MOST_TURNS_PER_S = 40_000
FROM_REDIS = b'"source":"redis"}'
_LENGTH = b"content-length: "
_CLOSES = b"onnection: close"
_CONNECT_S = 5.0


class Run:
    """The state of one order that its connections share."""

    def __init__(self, order: Order, requests: Iterator[bytes]) -> None:
        self.order, self.requests = order, requests
        self.count_from = self.until = 0.0
        self.counted = self.accepted = self.off_redis = self.open = 0
        self.exhausted = self.draining = False
        self.latencies: list[float] = []
        self.failed: dict[str, int] = {}
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.done = asyncio.Event()

    def answered(self, began: float, head: bytes, data: bytes) -> float:
        """Count one answer; the time now."""
        now = time.perf_counter()
        if head[9:10] == b"2":
            self.accepted += 1
            if self.order.kind == "read" and not data.endswith(FROM_REDIS):
                self.off_redis += 1
        else:
            status = head[9:12].decode()
            self.failed[status] = self.failed.get(status, 0) + 1
        if self.count_from <= now < self.until:
            self.counted += 1
            self.latencies.append(now - began)
        return now


class Connection(asyncio.Protocol):
    """One connection with at most one request on its way. A server that ends it with an answer (a proxy does, after
    so many) is connected to anew: the next request waits for that, and its waiting counts."""

    def __init__(self, run: Run, port: int) -> None:
        self._run, self._port = run, port
        self._head = b""
        self._missing = 0
        self._began = 0.0
        self._finished = self._closes = False
        self._connecting: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is registered as none

    def send(self, began: float) -> None:
        """Write the next request, or end the run when none is left."""
        assert self.transport is not None
        request = next(self._run.requests, None)
        if request is None:
            self._run.exhausted = True
            self._finish()
            return
        self._began = began
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take (a part of) an answer."""
        if not self._missing:
            data, self._head = self._head + data, b""
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            at = data.find(_LENGTH, 0, end + 2)
            if at < 0:  # a proxy writes it in its own way
                at = data[: end + 2].lower().index(_LENGTH)
            length = int(data[at + len(_LENGTH) : data.index(b"\r", at)])
            self._head, self._missing = data, end + 4 + length
            self._closes = data.find(_CLOSES, 0, end) >= 0
        self._missing -= len(data)
        if self._missing > 0:
            return
        self._missing = 0
        head, self._head = self._head, b""
        now = self._run.answered(self._began, head, data)
        if self._closes:
            self._connecting = asyncio.create_task(self._again(now))
        else:
            self._next(now)

    async def _again(self, now: float) -> None:
        """Connect anew, then go on as of `now`."""
        assert self.transport is not None
        self.transport.close()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except (OSError, TimeoutError) as error:
            self._lost(error)
            return
        self._closes = False
        self._next(now)

    def _next(self, now: float) -> None:
        run = self._run
        if run.order.per_s:
            if run.due:
                self.send(run.due.popleft())
            else:
                run.idle.append(self)
                if run.draining and len(run.idle) == run.open:
                    run.done.set()
        elif now < run.until:
            self.send(now)
        else:
            self._finish()

    def _finish(self) -> None:
        assert self.transport is not None
        self._finished = True
        self._run.open -= 1
        self.transport.close()
        if self._run.open == 0:
            self._run.done.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closes:
            self._lost(exc)

    def _lost(self, error: Exception | None) -> None:
        if not self._finished and not self._run.done.is_set():
            self._run.failed[f"closed ({error!r})"] = 1
            self._run.done.set()


def requests_of(order: Order) -> Iterator[bytes]:
    """Everything that may be sent, rendered; without an end where repeating does no harm."""
    named = material.naming_tenants(order.place, order.tenants, order.prefix, _rendered(order))
    requests = material.showing(order.key, named)
    return iter(requests) if order.kind in ("many", "single") else _for_ever(requests)


def _rendered(order: Order) -> list[bytes]:
    span_s = order.seconds + order.warm_s
    if order.kind == "many":
        count = int(MOST_TURNS_PER_S / order.turns * span_s) + order.concurrency
        return material.many_posts(order.prefix, order.place, order.sessions, count, order.turns, order.headers)
    if order.kind == "same":
        return material.single_posts(order.prefix, order.place, order.sessions, 1_000)
    if order.kind == "single":
        count = int((order.per_s * 1.1 or MOST_SINGLE_PER_S) * span_s) + order.concurrency
        return material.single_posts(order.prefix, order.place, order.sessions, count, order.headers)
    if order.kind == "read":
        return material.reads(order.place, order.sessions, order.limit)
    return [material.get("/empty")]


def _for_ever(items: list[bytes]) -> Iterator[bytes]:
    while True:
        yield from items


def _itself(connection: Connection) -> Connection:
    return connection


async def carry_out(order: Order) -> Outcome:
    """Put the load on the server and count."""
    loop = asyncio.get_running_loop()
    run = Run(order, requests_of(order))
    connections = []
    ports = (order.port, *order.more_ports)
    for number in range(order.concurrency):
        port = ports[number % len(ports)]
        connection = Connection(run, port)
        await loop.create_connection(partial(_itself, connection), "127.0.0.1", port)
        connections.append(connection)
    run.open = len(connections)
    cpu_began, began = time.process_time(), time.perf_counter()
    run.count_from = began + order.warm_s
    run.until = run.count_from + order.seconds
    if order.per_s:
        await _paced(run, connections, began)
    else:
        for connection in connections:
            connection.send(began)
        async with asyncio.timeout(order.warm_s + order.seconds + 20):
            await run.done.wait()
    ended = time.perf_counter()
    cpu_s = time.process_time() - cpu_began
    for connection in connections:
        assert connection.transport is not None
        connection.transport.close()
    counted_s = min(ended, run.until) - run.count_from
    sent = run.accepted + sum(run.failed.values())
    return Outcome(
        per_s=run.counted / counted_s if counted_s > 0 else 0.0,
        accepted=run.accepted,
        off_redis=run.off_redis,
        cpu_share=cpu_s / (ended - began),
        cpu_us=cpu_s / max(1, sent) * 1e6,
        exhausted=run.exhausted,
        latencies_ms=[round(1e3 * s, 4) for s in run.latencies],
        failed=run.failed,
    )


async def _paced(run: Run, connections: list[Connection], began: float) -> None:
    """Send at fixed times. A request that finds no idle connection waits, and its waiting counts.

    The clock of the event loop ticks in milliseconds: a request is sent up to 1 ms after its time, and timed from
    then.
    """
    run.idle.extend(connections)
    sent = 0
    while (now := time.perf_counter()) < run.until:
        while sent < (now - began) * run.order.per_s:
            sent += 1
            if run.idle:
                run.idle.popleft().send(now)
            else:
                run.due.append(now)
        await asyncio.sleep(max(0.001, began + (sent + 1) / run.order.per_s - time.perf_counter()))
    run.draining = True
    if len(run.idle) < len(connections):
        async with asyncio.timeout(20):
            await run.done.wait()
    run.done.set()


async def main() -> None:
    """Carry out orders until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        outcome = await carry_out(Order(**json.loads(line)))
        sys.stdout.buffer.write(outcome.line())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(main())
