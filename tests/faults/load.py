"""The load of a run: all clients together, started and stopped as one."""

import asyncio
from collections.abc import Awaitable, Callable

from faults import load_readers, load_writers
from faults.client import Client, Doors
from faults.ground import Ground
from faults.load_streams import Subscriber

SESSION_S = 0.2
Worker = Callable[[Ground, Client, str], Awaitable[None]]


class Load:
    """Clients of every kind for each tenant."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribers: list[Subscriber] = []
        self._streams: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        pace = self.ground.pace
        for tenant in self.ground.tenants:
            for n in range(pace.singles):
                self._begin(tenant, self.ground.ingest, load_writers.single_writer, f"single{n}")
            for n in range(pace.shared):
                self._begin(tenant, self.ground.ingest, load_writers.shared_writer, f"shared{n}")
            for n in range(2):
                self._begin(tenant, self.ground.ingest, load_writers.matching_writer, f"matching{n}")
            for worker, name in ONE_EACH:
                self._begin(tenant, self.ground.ingest, worker, name)
            for n in range(pace.readers):
                self._begin(tenant, self.ground.query, load_readers.reader, f"reader{n}")
            self._begin(tenant, self.ground.query, load_readers.auditor, "auditor")
            self._tasks.append(asyncio.create_task(self._subscribe(tenant), name=f"{tenant}/streams"))

    async def stop(self, grace_s: float) -> None:
        """No new requests; what is still retried gets `grace_s`, then its fate stays unknown. Streams go on."""
        self.ground.stop.set()
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.shield(self._ended())
        except TimeoutError:
            self.ground.give_up.set()
            await self._ended()

    async def close(self) -> None:
        """End the streams and close all connections."""
        for stream in self._streams:
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)
        self.ground.ingest.close()
        self.ground.query.close()

    def streams_at_end(self) -> bool:
        """Whether each stream has come to the last acknowledged version of its session."""
        acknowledged = self.ground.acknowledged
        return all(s.last_id >= acknowledged.get((s.trace.tenant, s.trace.session), 0) for s in self._subscribers)

    def failed(self) -> list[str]:
        """Workers that ended by an error of their own: defects of this harness."""
        done = [task for task in (*self._tasks, *self._streams) if task.done() and not task.cancelled()]
        return [f"{task.get_name()}: {task.exception()!r}" for task in done if task.exception() is not None]

    def _begin(self, tenant: str, doors: Doors, worker: Worker, name: str) -> None:
        client = self.ground.client(tenant, doors, name)
        self._tasks.append(asyncio.create_task(_coroutine(worker, self.ground, client, name), name=f"{tenant}/{name}"))

    async def _subscribe(self, tenant: str) -> None:
        """Subscribe to the first sessions as they come up."""
        client = self.ground.client(tenant, self.ground.query, "streams")
        taken: set[str] = set()
        while len(taken) < self.ground.pace.streams and await self.ground.pause(client.rng, SESSION_S):
            for session in sorted(set(self.ground.recent.get(tenant, ())) - taken)[:1]:
                taken.add(session)
                name = f"stream{len(taken)}"
                subscriber = Subscriber(self.ground, self.ground.client(tenant, self.ground.query, name), session)
                self._subscribers.append(subscriber)
                self._streams.append(asyncio.create_task(subscriber.run(), name=f"{tenant}/{name}"))

    async def _ended(self) -> None:
        await asyncio.wait(self._tasks)


async def _coroutine(worker: Worker, ground: Ground, client: Client, name: str) -> None:
    await worker(ground, client, name)


ONE_EACH: tuple[tuple[Worker, str], ...] = (
    (load_writers.many_writer, "many"),
    (load_writers.keyed_writer, "keyed"),
    (load_writers.bulk_writer, "bulk"),
    (load_writers.repeater, "repeater"),
    (load_readers.compression_asker, "asker"),
)
