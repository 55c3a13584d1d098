"""The connection to NATS, and publishing a log's events so that a message's sequence is the event's position.

Who calls: the relay publishes, followers consume (`consume.py`). Every call is bounded; a NATS that is away never
holds up anything but the call itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
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
BROKEN = (OSError, TimeoutError, RuntimeError, nats.errors.Error)
"""What a connection that broke shows as; RuntimeError is uvloop's word for writing to one that was reset."""
CLOSE_S = 2.0
STEP_EVENTS = 32
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
        self._connecting: asyncio.Task[Client] | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether the connection stands now."""
        return self._client is not None and bool(self._client.is_connected)

    async def client(self) -> Client:
        """The connected client. Raises `BusUnavailable` when the server cannot be reached within the time-out, and at
        once while a lost connection is being restored."""
        client = self._client
        if client is not None and client.is_connected:
            return client
        if self._closed:
            raise BusUnavailable("the bus was closed")
        if client is not None and not client.is_closed:
            raise BusUnavailable("NATS is away; reconnecting")
        if self._connecting is None or self._connecting.done():  # one attempt for all who ask meanwhile
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_forget)
        connecting = self._connecting
        done, _ = await asyncio.wait({connecting}, timeout=self.settings.connect_timeout_s)
        if not done or connecting.cancelled() or connecting.exception() is not None:
            raise BusUnavailable("NATS cannot be reached")
        return connecting.result()

    async def ask(self) -> None:
        """Have JetStream answer something. Raises `BusUnavailable`: a connection that stands says little of the server
        behind it."""
        await self.bounded((await self._jetstream()).account_info())

    async def close(self) -> None:
        """Close the connection; bounded."""
        self._closed = True
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting}, timeout=CLOSE_S + 0.5)
        if self._client is not None:
            await _quiet_close(self._client)

    async def _connect(self) -> Client:
        async def ignore(_: Exception) -> None:
            """Errors of the connection show as failed calls; nats-py would print each of them."""

        client = Client()
        connecting = asyncio.ensure_future(
            client.connect(
                self._url,
                connect_timeout=self.settings.connect_timeout_s,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                ping_interval=self.settings.ping_interval_s,
                max_outstanding_pings=2,
                error_cb=ignore,
                pending_size=64 * 1024 * 1024,
            )
        )
        try:
            done, _ = await asyncio.wait({connecting}, timeout=self.settings.connect_timeout_s)
            if not done:
                raise TimeoutError
            connecting.result()
        except BROKEN as error:
            await _give_up(client, connecting)
            raise BusUnavailable(f"NATS cannot be reached: {type(error).__name__}") from error
        except asyncio.CancelledError:
            await _give_up(client, connecting)
            raise
        self._client = client
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
            await self.bounded((await self._jetstream()).add_stream(config))
            return first_sequence - 1

    async def last_sequence(self, name: StreamName) -> int:
        """The last sequence of the stream. Raises `StreamMissing` or `BusUnavailable`."""
        info = await self.bounded((await self._jetstream()).stream_info(name.stream))
        return max(info.state.last_seq, info.state.first_seq - 1)

    async def event_at(self, name: StreamName, sequence: int) -> Event | None:
        """The stored message at a sequence; None when the stream no longer (or not yet) holds it."""
        try:
            message = await self.bounded((await self._jetstream()).get_msg(name.stream, sequence))
        except nats.js.errors.NotFoundError:
            return None
        return wire.decode(message.data or b"")

    async def publish(self, name: StreamName, events: Sequence[Event]) -> int:
        """Publish contiguous events; returns the stream's last sequence, which is the last event's position.

        Each message expects the stream to end at its position − 1, and only the last one is acknowledged: it can be
        stored only if all before it were. A late or second publisher is fenced with `WrongSequence`. Raises
        `BusUnavailable`, after which a first part of the events may be stored: ask for the last sequence.
        """
        return await self.bounded(self._publish(name, events))

    async def _publish(self, name: StreamName, events: Sequence[Event]) -> int:
        client = await self.client()
        for number, event in enumerate(events[:-1], 1):
            if number % STEP_EVENTS == 0:
                await asyncio.sleep(0)  # publishing only fills a buffer: hundreds of events would hold up everything
            subject = name.subject(event.tenant, event.type)
            await client.publish(subject, wire.encode(event), headers=_expectation(event))
        return _acknowledged(await self._request(client, name, events[-1], _expectation(events[-1])), events[-1])

    async def _request(self, client: Client, name: StreamName, event: Event, headers: dict[str, str]) -> Msg:
        subject = name.subject(event.tenant, event.type)
        return await client.request(subject, wire.encode(event), timeout=self.settings.call_timeout_s, headers=headers)

    async def hint(self, name: StreamName) -> None:
        """Tell the log's relay, wherever it runs, that the log moved. May be lost."""
        if self._client is not None and self._client.is_connected:
            await self.bounded(self._client.publish(name.hint, b""))

    @asynccontextmanager
    async def hints(self, name: StreamName, wake: Callable[[], None]) -> AsyncIterator[None]:
        """Call `wake` at every hint for the log, until left."""

        async def woken(_: Msg) -> None:
            wake()

        subscription = await self.bounded((await self.client()).subscribe(name.hint, cb=woken))
        try:
            yield
        finally:
            with suppress(BusError):
                await self.bounded(subscription.unsubscribe(), CLOSE_S)

    async def _jetstream(self) -> JetStreamContext:
        return (await self.client()).jetstream(timeout=self.settings.call_timeout_s)

    async def bounded(self, call: Coroutine[Any, Any, T], limit_s: float | None = None) -> T:
        """`call` within the time-out (or `limit_s`), its failures in our words.

        nats-py swallows cancellations at places, so at the limit the call is cancelled and left, not waited for.
        """
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait({task}, timeout=self.settings.call_timeout_s if limit_s is None else limit_s)
        except asyncio.CancelledError:
            _abandon(task)
            raise
        if not done:
            _abandon(task)
            raise BusUnavailable("NATS did not answer within the time-out")
        try:
            return task.result()
        except asyncio.CancelledError as error:  # nats-py cancels what waits when it closes
            raise BusUnavailable("NATS went away") from error
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
        except BROKEN as error:
            raise BusUnavailable(f"NATS did not answer: {type(error).__name__}") from error


def _abandon(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    task.add_done_callback(_forget)


def _forget(task: "asyncio.Future[Any]") -> None:
    """Take the outcome, which nobody waits for any more, so that it is not reported as never retrieved."""
    if not task.cancelled():
        task.exception()


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


async def _give_up(client: Client, connecting: "asyncio.Future[None]") -> None:
    _abandon(connecting)
    await _quiet_close(client)


async def _quiet_close(client: Client) -> None:
    closing = asyncio.ensure_future(client.close())
    closing.add_done_callback(_forget)
    await asyncio.wait({closing}, timeout=CLOSE_S)
