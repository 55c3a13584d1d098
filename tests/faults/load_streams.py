"""Live subscribers: a session's server-sent events, resumed by Last-Event-ID at any replica after any break."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import orjson

from faults.check_reads import holds_foreign
from faults.client import CLIENT_TIMEOUT_S, Client, Target, error_code
from faults.client_http import BROKEN, Connection
from faults.ground import Ground
from faults.load_readers import sighting
from faults.record import ANSWERED, NO_ANSWER, REFUSED, WRONG, Call, Streamed, StreamTrace

SILENT_S = 8.0
"""A stream that says nothing for so long (the replicas' heartbeat comes more often) is opened anew elsewhere."""


class Subscriber:
    """One live subscriber of one session, until it is cancelled."""

    def __init__(self, ground: Ground, client: Client, session: str) -> None:
        self._ground, self._client = ground, client
        self.trace = StreamTrace(client.tenant, session)
        self.last_id = 0
        ground.record.streams.append(self.trace)

    async def run(self) -> None:
        """Subscribe again and again."""
        targets = self._client.doors.targets
        at = self._client.rng.randrange(len(targets))
        while True:
            at += 1
            await self._subscribe(targets[at % len(targets)])
            await asyncio.sleep(self._client.rng.uniform(0.1, 0.6))

    async def _subscribe(self, target: Target) -> None:
        self.trace.connections += 1
        began_s = time.monotonic()
        connection: Connection | None = None
        outcome, status, code = NO_ANSWER, 0, ""
        opened = False
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                connection = await Connection.open(target.url)
                headers = {"x-tenant": self._client.tenant, "last-event-id": str(self.last_id)}
                path = f"/v1/sessions/{self.trace.session}/events"
                status, found = await connection.begin("GET", path, headers)
                if status != 200:
                    body = await connection.rest(found)
                    outcome, code = (REFUSED if status in (503, 504) else WRONG), error_code(body)
            if status == 200 and connection is not None:
                outcome, opened = ANSWERED, True
                self._opened(target, began_s, ANSWERED, 200, "")
                await self._receive(connection, target)
        except (*BROKEN, TimeoutError) as error:
            code = type(error).__name__
        finally:
            if connection is not None:
                connection.close()
        if not opened:
            self._opened(target, began_s, outcome, status, code)

    def _opened(self, target: Target, began_s: float, outcome: str, status: int, code: str) -> None:
        call = Call(
            "stream", target.name, self._client.tenant, self.trace.session, "stream", self.trace.connections, began_s,
            time.monotonic(), outcome, status, code, allowed_s=self._client.deadlines.read_s,
        )  # fmt: skip
        self._ground.record.called(call)

    async def _receive(self, connection: Connection, target: Target) -> None:
        buffer = b""
        async for chunk in _until_silent(connection):
            *messages, buffer = (buffer + chunk).split(b"\n\n")
            for message in messages:
                self._take(message, target)

    def _take(self, message: bytes, target: Target) -> None:
        fields = dict(line.partition(b": ")[::2] for line in message.split(b"\n"))
        if b"event" not in fields:
            return
        name, data = fields[b"event"].decode(), orjson.loads(fields[b"data"])
        self.last_id = int(fields[b"id"])
        if name == "cut":
            return
        tenant, now_s = self._client.tenant, time.monotonic()
        event = Streamed(name, self.last_id, data["position"], self.trace.connections)
        self._ground.record.streamed(self.trace, event)
        call = Call("event", target.name, tenant, self.trace.session, "event", 1, now_s, now_s, ANSWERED)
        if name == "turn":
            self._ground.record.saw(sighting(call, data))
        if holds_foreign(tenant, self._ground.tenants, message):
            self._ground.record.called(replace(call, foreign=True))


async def _until_silent(connection: Connection) -> AsyncIterator[bytes]:
    chunks = connection.chunks()
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk
