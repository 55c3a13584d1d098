"""The whole system as processes under one data folder: what `turnlog up` and `turnlog demo` run.

    servers not given by URL (turnlog_embedded)  →  migrations  →  api, projector, compressor

`running` starts it and, on leaving, stops it in the opposite order: HTTP first, then the workers, then the servers.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path

from turnlog_cli.addresses import Addresses
from turnlog_cli.addresses import write as write_addresses
from turnlog_cli.binding import free_port, url_of
from turnlog_cli.errors import CommandError
from turnlog_cli.keys_at_start import StartKeys, keys_at_start
from turnlog_cli.metrics_folder import empty_folder
from turnlog_cli.worker import Order, Say, Worker
from turnlog_embedded import EmbeddedError, Servers, ServerSpec, hold, start
from turnlog_runtime.settings import SharedSettings

READY_S = 60.0
FAILED_STARTS = 3
API = "api"
MODULES = {API: "turnlog_cli.api", "projector": "turnlog_projector", "compressor": "turnlog_compressor"}
LONGEST_PAUSE_S = 10.0
_NOT_FOR_SERVICES = ("TURNLOG_DATABASE_OWNER_URL", "TURNLOG_API_KEY")


@dataclass(frozen=True)
class Plan:
    """What to start, and where. `port` 0 takes any free one."""

    data_dir: Path
    settings: SharedSettings
    port: int
    verbose: bool = False


@dataclass
class Stack:
    """A running system."""

    addresses: Addresses
    servers: Servers
    workers: dict[str, Worker]
    say: Say
    stop_s: float
    keys: StartKeys
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    watching: "asyncio.Task[None] | None" = None

    async def stop_workers(self) -> None:
        """End the API, so that nothing new comes in, then the workers."""
        for worker in self.workers.values():
            worker.retire()
        if self.watching is not None:
            self.watching.cancel()
        await self.workers[API].stop(self.stop_s)
        others = [worker for name, worker in self.workers.items() if name != API]
        await asyncio.gather(*(worker.stop(self.stop_s) for worker in others))
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def kill(self) -> None:
        """Kill everything at once; what is acknowledged stays."""
        for worker in self.workers.values():
            worker.kill()
        for name in self.servers.pids:
            self.servers.kill(name)

    async def watch_servers(self) -> None:
        """Bring back every server that ends unasked."""
        while True:
            name = await self.servers.wait_exit()
            self.say("server_died", name=name)
            pause_s = 0.25
            while True:
                try:
                    await self.servers.start_one(name)
                    break
                except EmbeddedError as error:
                    self.say("server_not_started", name=name, reason=str(error), pause_s=pause_s)
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            self.say("server_back", name=name)


@asynccontextmanager
async def running(plan: Plan, say: Say) -> AsyncIterator[Stack]:
    """Start everything and wait until it answers; on leaving, stop it.

    `say` is called as `say(event, **facts)` with what happens on the way and later. Raises `CommandError`, or the
    errors of turnlog_embedded and turnlog_migrations, having stopped what was started.
    """
    host = plan.settings.host
    data_dir = plan.data_dir.expanduser().resolve()
    async with AsyncExitStack() as cleanup:
        holder = cleanup.enter_context(hold(data_dir))
        port = free_port(host, plan.port)
        check_metrics_port(host, plan.settings.metrics_port, port)
        holder.note(port=port)
        # PostgreSQL starts while Python reads its way through the migrations: each takes about a second.
        migrations = asyncio.create_task(asyncio.to_thread(import_module, "turnlog_migrations"))
        servers = await start(data_dir, spec_of(plan.settings), log=say)
        cleanup.push_async_callback(servers.stop)
        addresses = addresses_of(plan.settings, servers, url_of(host, port))
        migrated = await (await migrations).migrate(addresses.database_owner_url)
        say("migrated", before=migrated.before, after=migrated.after)
        required = plan.settings.auth == "required"
        keys = await cleanup.enter_async_context(
            keys_at_start(addresses.database_owner_url, data_dir, required=required)
        )
        if keys.local is not None:
            addresses = replace(addresses, api_key=keys.local.credential)
        cleanup.callback(write_addresses(data_dir, addresses).unlink, missing_ok=True)
        logs = None if plan.verbose else data_dir / "logs"
        environment = child_environment(os.environ, addresses, host, port)
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(empty_folder(data_dir))
        workers = {name: Worker(_order(name, environment, plan, logs), say) for name in MODULES}
        stack = Stack(addresses, servers, workers, say, plan.settings.drain_s + plan.settings.shutdown_s + 5, keys)
        cleanup.push_async_callback(stack.stop_workers)
        stack.tasks |= {asyncio.create_task(worker.keep()) for worker in workers.values()}
        stack.watching = asyncio.create_task(stack.watch_servers())
        stack.tasks.add(stack.watching)
        await _until_ready(stack)
        yield stack


def check_metrics_port(host: str, metrics_port: int, port: int) -> None:
    """Raise `CommandError` when metrics cannot be served where they should be."""
    if not metrics_port:
        return
    if metrics_port == port:
        raise CommandError(
            f"TURNLOG_METRICS_PORT={metrics_port} is the API's port: choose another, or unset it to have /metrics there"
        )
    free_port(host, metrics_port, "TURNLOG_METRICS_PORT=N")


def spec_of(settings: SharedSettings) -> ServerSpec:
    """The servers to start: those without an address."""
    return ServerSpec(
        postgres=settings.database_url is None, nats=settings.nats_url is None, valkey=settings.redis_url is None
    )


def addresses_of(settings: SharedSettings, servers: Servers, url: str) -> Addresses:
    """Every server's address: as given, or of the one that was started."""
    owner_url = settings.database_owner_url
    if settings.database_url is not None:
        database_url = settings.database_url.get_secret_value()
        database_owner_url = owner_url.get_secret_value() if owner_url else database_url
    else:
        database_url, database_owner_url = servers.postgres_app_dsn, servers.postgres_dsn
    return Addresses(
        pid=os.getpid(),
        url=url,
        database_url=database_url,
        database_owner_url=database_owner_url,
        nats_url=settings.nats_url.get_secret_value() if settings.nats_url else servers.nats_url,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else servers.redis_url,
    )


def child_environment(ours: Mapping[str, str], addresses: Addresses, host: str, port: int) -> dict[str, str]:
    """Our environment with the addresses in it, and without what services have no use for: the owner's address (they
    never change the schema) and a key."""
    kept = {name: value for name, value in ours.items() if name.upper() not in _NOT_FOR_SERVICES}
    return kept | {
        "TURNLOG_DATABASE_URL": addresses.database_url,
        "TURNLOG_NATS_URL": addresses.nats_url,
        "TURNLOG_REDIS_URL": addresses.redis_url,
        "TURNLOG_HOST": host,
        "TURNLOG_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }


def _order(name: str, environment: Mapping[str, str], plan: Plan, logs: Path | None) -> Order:
    own = dict(environment)
    if given := own.get("OTEL_SERVICE_NAME"):  # one name for three processes would hide who did what
        own["OTEL_SERVICE_NAME"] = f"{given}-{name}"
    if name != API:  # the API's process serves the metrics of all
        own["TURNLOG_METRICS_PORT"] = "0"
    return Order(name, MODULES[name], own, logs / f"{name}.log" if logs is not None else None)


async def _until_ready(stack: Stack) -> None:
    """Wait for the API's readiness. Raises `CommandError` when it does not come up."""
    import httpx  # not before: most of its time is spent while the workers start

    api, url = stack.workers[API], stack.addresses.url
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        deadline = asyncio.get_running_loop().time() + READY_S
        while True:
            try:
                if (await http.get(f"{url}/readyz")).is_success:
                    return
            except httpx.HTTPError:
                pass
            if api.starts > FAILED_STARTS or asyncio.get_running_loop().time() > deadline:
                log = f"; see {api.order.log}" if api.order.log else ""
                raise CommandError(f"the API did not come up: {api.last_words() or 'it said nothing'}{log}")
            await asyncio.sleep(0.03)
