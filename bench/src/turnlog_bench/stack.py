"""The system under measurement: real servers in a temporary folder, migrated, and one process per service.

`running` starts and, however it is left, stops everything.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from turnlog_access.key_format import mint
from turnlog_bench import procfs
from turnlog_bench.orders import Order, Outcome
from turnlog_bench.process import MeasureFailed, Process, free_port
from turnlog_embedded import Servers, start
from turnlog_events.ids import DEFAULT_TENANT
from turnlog_eventstore import Administration, Store
from turnlog_eventstore.administration import NewKey
from turnlog_migrations import migrate
from turnlog_runtime.principal import READ, WRITE
from turnlog_views import ViewWriter

LOG = "main"
FOLLOWERS = ("projector", "compressor")
SERVICES = ("ingest", "query", *FOLLOWERS)
CAUGHT_UP_S = 120.0
DEATH_NOTICED_S = 0.5
Snapshot = dict[str, float]


def kind_of(name: str) -> str:
    """The service of a process: `ingest` of `ingest-2`."""
    return name.partition("-")[0]


def replicas(service: str, count: int) -> list[str]:
    """The names of so many processes of a service: `ingest`, `ingest-2` …"""
    return [service, *(f"{service}-{number}" for number in range(2, count + 1))][:count]


@dataclass
class Stack:
    """Running servers and processes. `say` tells the person what is being done."""

    servers: Servers
    store: Store
    folder: Path
    environment: dict[str, str]
    say: Callable[[str], None]
    key: str = ""
    """What every request shows; "": nothing, and no service asks for it."""
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `MeasureFailed` when anything died."""
        for process in self.processes.values():
            process.check()
        missing = {"postgres", "nats", "valkey"} - self.servers.pids.keys()
        if missing:
            raise MeasureFailed(f"{min(missing)} died")

    def _check_services(self) -> None:
        for name, process in self.processes.items():
            if name != "load":
                process.check()

    async def launch(self, *names: str, more: Mapping[str, str] | None = None) -> None:
        """Start services (`replicas` names several of one) and wait until they listen. `more` is added to their
        environment."""
        for name in names:
            port = self.ports.setdefault(name, free_port())
            serves_api = kind_of(name) in ("ingest", "query")
            own = {"TURNLOG_PORT" if serves_api else "TURNLOG_METRICS_PORT": str(port), **(more or {})}
            await self._spawn(name, [f"turnlog_{kind_of(name)}"], own)
        for name in names:
            await self.processes[name].ready(self.ports[name])

    async def launch_tools(self) -> None:
        """Start the load generator, the yardstick server and the ceiling server."""
        await self.launch_generator("load")
        for name in ("empty", "ceiling"):
            self.ports[name] = free_port()
            await self._spawn(name, [f"turnlog_bench.{name}", str(self.ports[name])], {})
            await self.processes[name].ready(self.ports[name])

    async def launch_generator(self, name: str) -> None:
        """Start a load generator: one carries out one order at a time."""
        await self._spawn(name, ["turnlog_bench.load"], {}, piped=True)

    async def _spawn(self, name: str, arguments: list[str], own: dict[str, str], *, piped: bool = False) -> None:
        log = self.folder / f"{name}.log"
        self.processes[name] = await Process.start(name, arguments, self.environment | own, log, piped=piped)

    async def retire(self, *names: str) -> None:
        """Stop services and forget them."""
        await asyncio.gather(*(self.processes[name].stop() for name in names if name in self.processes))
        for name in names:
            self.processes.pop(name, None)

    async def new_key(self) -> str:
        """An API key that may write and read."""
        return await _new_key(self.servers.postgres_dsn)

    async def load(self, order: Order, generator: str = "load") -> Outcome:
        """Have a generator carry out an order."""
        self.check()
        try:
            line = replace(order, key=self.key).line()
            answer = await self.processes[generator].ask(line, order.seconds + order.warm_s + 40)
            outcome = Outcome(**json.loads(answer))
            if outcome.failed:
                raise MeasureFailed(f"{order.kind} on {order.concurrency} connections: answers {outcome.failed}")
        except MeasureFailed:
            await asyncio.sleep(DEATH_NOTICED_S)
            self._check_services()  # when one of them died, that is the reason to give
            raise
        self.check()
        return outcome

    def cpu(self) -> Snapshot:
        """CPU seconds of each server and service so far, all processes of a service together."""
        return self._by_kind(procfs.cpu_s)

    def memory_kib(self) -> Snapshot:
        """Memory of each server and service now, all processes of a service together."""
        return self._by_kind(procfs.memory_kib)

    def _by_kind(self, reading: Callable[[int], float]) -> Snapshot:
        found: Snapshot = {}
        for name, process in self.processes.items():
            if kind_of(name) in SERVICES:
                found[kind_of(name)] = found.get(kind_of(name), 0.0) + reading(process.pid)
        return found | {name: reading(pid) for name, pid in self.servers.pids.items()}

    def pause_followers(self) -> None:
        """Take the CPU from the followers while a yardstick is measured."""
        for name in FOLLOWERS:
            if name in self.processes:
                self.processes[name].pause()

    def resume_followers(self) -> None:
        """Let them go on."""
        for name in FOLLOWERS:
            if name in self.processes:
                self.processes[name].resume()

    async def head(self, log: str = LOG) -> int:
        """The position of the log's newest event."""
        return (await self.store.head(log)).position

    async def projected(self, deadline_s: float = CAUGHT_UP_S, log: str = LOG) -> float:
        """Wait until every read model of the log is at its head and readable; how long that took, in seconds."""
        head = await self.store.head(log)
        writer = ViewWriter(self.servers.redis_url, log)
        await writer.open(head.incarnation, head.epoch)

        async def caught_up() -> bool:
            partitions = await writer.partitions()
            return all(p.checkpoint >= head.position and writer.readable(p) for p in partitions)

        try:
            return await self.until(caught_up, deadline_s, "the projector to catch up")
        finally:
            await writer.close()

    async def quiet(self, deadline_s: float, names: tuple[str, ...] = FOLLOWERS) -> float:
        """Wait until the named processes use less than a fifth of a core for half a second; seconds waited."""
        last = self.cpu()

        async def is_quiet() -> bool:
            nonlocal last
            await asyncio.sleep(0.5)
            now = self.cpu()
            used_s = sum(now[name] - last[name] for name in names)
            last = now
            return used_s < 0.1

        return await self.until(is_quiet, deadline_s, "the followers to finish their work")

    async def until(self, holds: Callable[[], Awaitable[bool]], deadline_s: float, what: str) -> float:
        """Wait for a condition; seconds waited. Raises `MeasureFailed` at the deadline."""
        began = time.monotonic()
        while not await holds():
            self.check()
            if time.monotonic() - began > deadline_s:
                raise MeasureFailed(f"waited {deadline_s:g} s for {what}")
            await asyncio.sleep(0.05)
        return time.monotonic() - began


@asynccontextmanager
async def running(say: Callable[[str], None], *, auth: bool = False) -> AsyncIterator[Stack]:
    """Servers, schema and the bench's own tools; services are started by `Stack.launch`. With `auth` they ask for a
    credential, and every request shows one."""
    async with AsyncExitStack() as cleanup:
        folder = Path(
            cleanup.enter_context(tempfile.TemporaryDirectory(prefix="turnlog-bench-", ignore_cleanup_errors=True))
        )
        servers = await start(folder / "data")
        cleanup.push_async_callback(servers.stop)
        await migrate(servers.postgres_dsn)
        store = await Store.open(servers.postgres_app_dsn)
        cleanup.push_async_callback(store.close)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TURNLOG_")}
        environment = kept | {
            "TURNLOG_DATABASE_URL": servers.postgres_app_dsn,
            "TURNLOG_NATS_URL": servers.nats_url,
            "TURNLOG_REDIS_URL": servers.redis_url,
            "TURNLOG_LOG_LEVEL": "warning",
            "TURNLOG_AUTH": "required" if auth else "off",
        }
        key = await _new_key(servers.postgres_dsn) if auth else ""
        stack = Stack(servers, store, folder, environment, say, key)

        async def stop_all() -> None:
            await stack.retire(*stack.processes)

        cleanup.push_async_callback(stop_all)
        await stack.launch_tools()
        yield stack


async def _new_key(owner_dsn: str) -> str:
    """An API key that may write and read."""
    owner, minted = await Administration.open(owner_dsn), mint()
    try:
        await owner.create_key(NewKey(minted.key_id, DEFAULT_TENANT, minted.sha256, (WRITE, READ), "bench"))
    finally:
        await owner.close()
    return minted.credential
