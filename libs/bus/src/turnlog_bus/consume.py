"""Consume a log's stream from a sequence on: a pull consumer without acks that is kept supplied with requests.

The consumer is ephemeral and holds nothing worth keeping: where to start is the reader's own checkpoint. Messages
arrive as fast as the server sends them, bounded by what was asked for; heartbeats tell a silent stream from a dead one.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from nats.aio.msg import Msg

from turnlog_bus.bus import Bus
from turnlog_bus.errors import BusError, BusUnavailable, StreamMissing
from turnlog_bus.subjects import StreamName
from turnlog_events import wire
from turnlog_events.errors import EventError
from turnlog_events.event import Event

STOP_S = 0.5


@dataclass(frozen=True, slots=True)
class ConsumeSettings:
    """How much is asked for at a time, and how long silence may last."""

    request_events: int = 512
    expires_s: float = 30.0
    heartbeat_s: float = 1.0
    inactive_s: float = 30.0


async def consume(
    bus: Bus, name: StreamName, after: int, settings: ConsumeSettings = ConsumeSettings()
) -> AsyncGenerator[list[Event], None]:
    """Lists of events after sequence `after`, in order, for ever; an empty list at each heartbeat.

    Raises `StreamMissing`, or `BusUnavailable` when the consumer or the connection is gone: start again then.
    """
    reader = _Reader(bus, name, settings)
    try:
        await reader.start(after)
        while True:
            yield await reader.next()
    finally:
        await reader.stop()


class _Reader:
    """One ephemeral consumer and its inbox."""

    def __init__(self, bus: Bus, name: StreamName, settings: ConsumeSettings) -> None:
        self._bus, self._name, self._settings = bus, name, settings
        self._ready: list[Event] = []
        self._failure: Exception | None = None
        self._wake = asyncio.Event()
        self._asked = 0
        self._subscription: Any = None
        self._inbox = ""
        self._consumer = ""

    async def start(self, after: int) -> None:
        """Create the consumer and ask for the first messages."""
        settings = self._settings
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": int(settings.inactive_s * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        request = orjson.dumps({"stream_name": self._name.stream, "config": config})
        answer = await self._api(f"$JS.API.CONSUMER.CREATE.{self._name.stream}", request)
        self._consumer = answer["name"]
        client = await self._bus.client()
        self._inbox = client.new_inbox()
        self._subscription = await self._bus.bounded(client.subscribe(self._inbox, cb=self._receive))
        await self._ask()

    async def _api(self, subject: str, request: bytes) -> dict[str, Any]:
        client, limit_s = await self._bus.client(), self._bus.settings.call_timeout_s
        reply = await self._bus.bounded(client.request(subject, request, timeout=limit_s))
        answer: dict[str, Any] = orjson.loads(reply.data)
        if refusal := answer.get("error"):
            if refusal.get("code") == 404:
                raise StreamMissing(refusal.get("description", "stream not found"))
            raise BusUnavailable(f"JetStream refused: {refusal.get('err_code')} {refusal.get('description')}")
        return answer

    async def _ask(self) -> None:
        settings = self._settings
        request = {
            "batch": settings.request_events,
            "expires": int(settings.expires_s * 1e9),
            "idle_heartbeat": int(settings.heartbeat_s * 1e9),
        }
        self._asked += settings.request_events
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._name.stream}.{self._consumer}"
        client = await self._bus.client()
        await self._bus.bounded(client.publish(subject, orjson.dumps(request), reply=self._inbox))

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._asked -= 1
            try:
                event = wire.decode(message.data)
                self._ready.append(event)
                if self._bus.carrier is not None:
                    self._bus.carrier.received(event.log, event.position, message.headers or {})
            except EventError as error:
                self._failure = BusUnavailable(f"a message of the stream is no event: {error}")
        elif status in ("404", "408") or (status == "409" and "Batch Completed" in str(message.headers)):
            pending = (message.headers or {}).get("Nats-Pending-Messages")
            self._asked = max(0, self._asked - int(pending)) if pending else 0
        elif status != "100":
            self._failure = BusUnavailable(f"JetStream ended the consumer with status {status}")
        if self._asked <= self._settings.request_events // 2 and self._failure is None:
            try:
                await self._ask()
            except BusError as error:
                self._failure = BusUnavailable(f"NATS went away: {type(error).__name__}")
        self._wake.set()

    async def next(self) -> list[Event]:
        """What has come, or at a heartbeat nothing."""
        if not self._ready and self._failure is None:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._settings.heartbeat_s * 2.5):
                    await self._wake.wait()
            except TimeoutError:
                raise BusUnavailable("neither a message nor a heartbeat came") from None
        if self._ready:
            events, self._ready = self._ready, []
            return events
        if self._failure is not None:
            raise self._failure
        return []

    async def stop(self) -> None:
        """Forget the consumer, shortly (the server drops it by itself when this does not reach it)."""
        with suppress(BusError):
            if self._subscription is not None:
                await self._bus.bounded(self._subscription.unsubscribe(), STOP_S)
            if self._consumer and self._bus.connected:
                subject = f"$JS.API.CONSUMER.DELETE.{self._name.stream}.{self._consumer}"
                await self._bus.bounded((await self._bus.client()).publish(subject, b""), STOP_S)
