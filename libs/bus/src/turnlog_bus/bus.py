"""The connection to NATS, and publishing a log's events so that a message's sequence is the event's position.

Who calls: the relay publishes, followers consume (`consume.py`). Every call is bounded; a NATS that is away never
holds up anything but the call itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import nats
import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from turnlog_bus.errors import BusError, BusUnavailable, StreamMissing, WrongSequence
from turnlog_bus.subjects import StreamName
from turnlog_events import wire
from turnlog_events.event import Event

WRONG_LAST_SEQUENCE = 10071
STREAM_NOT_FOUND = 10059
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Limits of the connection and of the streams it makes (0: unlimited)."""

    connect_timeout_s: int = 2
    call_timeout_s: float = 3.0
    ping_interval_s: int = 5
    stream_replicas: int = 1
    stream_max_bytes: int = 0
    stream_max_age_s: float = 0.0


class Bus:
    """NATS by its address: connects at the first call, and again whenever it was lost."""

    def __init__(self, url: str, settings: BusSettings = BusSettings()) -> None:
        self._url = url
        self.settings = settings
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return self._client is not None and bool(self._client.is_connected)

    async def client(self) -> Client:
        """The connected client. Raises `BusUnavailable` when the server cannot be reached within the time-out."""
        if self._client is not None and self._client.is_connected:
            return self._client
        async with self._connecting:
            if self._closed:
                raise BusUnavailable("the bus was closed")
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
        if not self._client.is_connected:
            raise BusUnavailable("NATS is away; reconnecting")
        return self._client

    async def close(self) -> None:
        """Close the connection; bounded."""
        self._closed = True
        if self._client is not None:
            await _quiet_close(self._client)

    async def _connect(self) -> Client:
        async def ignore(_: Exception) -> None:
            """Errors of the connection show as failed calls; nats-py would print each of them."""

        client = Client()
        connecting = client.connect(
            self._url,
            connect_timeout=self.settings.connect_timeout_s,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=self.settings.ping_interval_s,
            max_outstanding_pings=2,
            error_cb=ignore,
            pending_size=64 * 1024 * 1024,
        )
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                await connecting
        except (OSError, TimeoutError, nats.errors.Error) as error:
            await _quiet_close(client)
            raise_if_cancelled(error)
            raise BusUnavailable(f"NATS cannot be reached: {type(error).__name__}") from error
        except asyncio.CancelledError:
            await asyncio.shield(_quiet_close(client))
            raise
        return client

    async def ensure_stream(self, name: StreamName, first_sequence: int) -> int:
        """The last sequence of the log's stream, which is created to start at `first_sequence` when missing.

        An empty stream answers `first sequence − 1`. Raises `BusUnavailable`.
        """
        try:
            return await self.last_sequence(name)
        except StreamMissing:
            config = StreamConfig(
                name=name.stream,
                subjects=[name.all_subjects],
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                storage=StorageType.FILE,
                num_replicas=self.settings.stream_replicas,
                max_bytes=self.settings.stream_max_bytes or -1,
                max_age=self.settings.stream_max_age_s,
                first_seq=first_sequence,
                allow_direct=True,
            )
            await self._bounded((await self._jetstream()).add_stream(config))
            return first_sequence - 1

    async def last_sequence(self, name: StreamName) -> int:
        """The last sequence of the stream. Raises `StreamMissing` or `BusUnavailable`."""
        info = await self._bounded((await self._jetstream()).stream_info(name.stream))
        return max(info.state.last_seq, info.state.first_seq - 1)

    async def event_at(self, name: StreamName, sequence: int) -> Event | None:
        """The stored message at a sequence; None when the stream no longer (or not yet) holds it."""
        try:
            message = await self._bounded((await self._jetstream()).get_msg(name.stream, sequence))
        except nats.js.errors.NotFoundError:
            return None
        return wire.decode(message.data or b"")

    async def publish(self, name: StreamName, events: Sequence[Event]) -> int:
        """Publish contiguous events; returns the stream's last sequence, which is the last event's position.

        Each message expects the stream to end at its position − 1, and only the last one is acknowledged: it can be
        stored only if all before it were. A late or second publisher is fenced with `WrongSequence`. Raises
        `BusUnavailable`, after which a first part of the events may be stored: ask for the last sequence.
        """
        return await self._bounded(self._publish(name, events))

    async def _publish(self, name: StreamName, events: Sequence[Event]) -> int:
        client = await self.client()
        for event in events[:-1]:
            subject = name.subject(event.tenant, event.type)
            await client.publish(subject, wire.encode(event), headers=_expectation(event))
        return _acknowledged(await self._request(client, name, events[-1], _expectation(events[-1])), events[-1])

    async def _request(self, client: Client, name: StreamName, event: Event, headers: dict[str, str]) -> Msg:
        subject = name.subject(event.tenant, event.type)
        return await client.request(subject, wire.encode(event), timeout=self.settings.call_timeout_s, headers=headers)

    async def hint(self, name: StreamName) -> None:
        """Tell the log's relay, wherever it runs, that the log moved. May be lost."""
        if self._client is not None and self._client.is_connected:
            await self._bounded(self._client.publish(name.hint, b""))

    async def on_hint(self, name: StreamName, wake: Callable[[], None]) -> None:
        """Call `wake` at every hint for the log."""

        async def woken(_: Msg) -> None:
            wake()

        await self._bounded((await self.client()).subscribe(name.hint, cb=woken))

    async def _jetstream(self) -> JetStreamContext:
        return (await self.client()).jetstream(timeout=self.settings.call_timeout_s)

    async def _bounded(self, call: Awaitable[T]) -> T:
        """`call` within the time-out, its failures in our words.

        nats-py swallows cancellations at places, or makes errors of its own of them: here they stay cancellations.
        """
        try:
            async with asyncio.timeout(self.settings.call_timeout_s):
                result = await call
            raise_if_cancelled()
            return result
        except nats.js.errors.NotFoundError as error:
            if error.err_code == STREAM_NOT_FOUND:
                raise StreamMissing("the stream does not exist") from error
            raise
        except nats.js.errors.NoStreamResponseError as error:
            raise StreamMissing("no stream listens") from error
        except nats.errors.NoRespondersError as error:
            raise StreamMissing("no stream listens") from error
        except nats.js.errors.APIError as error:
            raise BusError(f"JetStream refused: {error.err_code} {error.description}") from error
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise_if_cancelled(error)
            raise BusUnavailable(f"NATS did not answer: {type(error).__name__}") from error


def raise_if_cancelled(error: Exception | None = None) -> None:
    """Raise `CancelledError` when this task is being cancelled and a library swallowed it or made `error` of it.

    (Before Python 3.12 `asyncio.wait_for`, which nats-py uses, loses a cancellation that meets its result.)
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


def _expectation(event: Event) -> dict[str, str]:
    return {"Nats-Expected-Last-Sequence": str(event.position - 1)}


def _acknowledged(reply: Msg, last: Event) -> int:
    """The sequence that JetStream gave the last message, which must be its position."""
    answer: dict[str, Any] = orjson.loads(reply.data)
    if error := answer.get("error"):
        if error.get("err_code") == WRONG_LAST_SEQUENCE:
            raise WrongSequence(error.get("description", "wrong last sequence"))
        raise BusError(f"JetStream refused: {error.get('err_code')} {error.get('description')}")
    sequence = int(answer["seq"])
    if sequence != last.position:
        raise WrongSequence(f"sequence {sequence} was given to position {last.position}")
    return sequence


async def _quiet_close(client: Client) -> None:
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (TimeoutError, OSError, nats.errors.Error):
        return
