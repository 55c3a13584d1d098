"""A whole Turnlog to be hurt: real servers, two processes of each service, and proxies between all of them.

`running` starts it in a folder and, however it is left, stops everything. The services reach PostgreSQL, NATS, Valkey
and the model only through `proxies`; who checks what is true goes around them by `owner_dsn`, `app_dsn`, `nats_url` and
`redis_url`. Called by the tests and runs under faults.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from faults.capabilities import missing
from faults.model import ModelServer
from faults.proxy import Proxy
from faults.replica import Replica
from faults.servers import SERVERS, bring_up, mount_memory, onto_a_small_disk
from faults.supervisor import supervised
from turnlog_embedded import Servers, start
from turnlog_migrations import migrate

SERVICES = ("ingest", "query", "projector", "compressor")
TENANT_HEADER = "x-tenant"
LOGS = ("main", "second")
LOOK_S = 0.1
HEALTHY_S = 60.0
LIMITS = {
    "TURNLOG_DEADLINE_S": "3.0",
    "TURNLOG_READ_DEADLINE_S": "3.0",
    "TURNLOG_SHUTDOWN_S": "5",
    "TURNLOG_DATABASE_CONNECTIONS": "5",
    "TURNLOG_COMPRESS_TURNS": "6",
    "TURNLOG_COMPRESS_TAIL_TURNS": "2",
    "TURNLOG_COMPRESS_IDLE_S": "5",
    "TURNLOG_COMPRESS_IDLE_TURNS": "4",
    "TURNLOG_MODEL_TIMEOUT_S": "2",
    "TURNLOG_MODEL_ATTEMPTS": "2",
    "TURNLOG_BREAKER_OPEN_S": "2",
    "TURNLOG_LOG_LEVEL": "info",
}
"""Short but real: a fault of some seconds runs into each of them."""


@dataclass(frozen=True)
class WorldPlan:
    """What to start. `disk_mib`: PostgreSQL's data is on a disk of its own of that size, where one can be mounted (0:
    it is in the folder, as it is where none can); `environment` is added to that of every service."""

    replicas: int = 2
    services: tuple[str, ...] = SERVICES
    disk_mib: int = 1024
    environment: Mapping[str, str] = field(default_factory=dict)


class World:
    """What runs. `held` are the servers that are away on purpose; `tenants` says in which log each tenant lives."""

    def __init__(self, folder: Path, plan: WorldPlan, servers: Servers) -> None:
        self.folder, self.plan, self.servers = folder, plan, servers
        self.model = ModelServer.start()
        self._alone: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.proxies: dict[str, Proxy] = {}
        self.replicas: dict[str, Replica] = {}
        self.tenants: dict[str, str] = {}
        self.held: set[str] = set()
        self.server_deaths: dict[str, int] = dict.fromkeys(SERVERS, 0)
        """How often a server died without being killed by us, and was started again."""
        self.exits: list[tuple[str, int]] = []
        """How replicas ended that were told to stop: all should be 0."""
        self.aside = folder / "aside"
        """Where faults keep copies of data."""
        self.small_disk: Path | None = None
        """Where PostgreSQL's data is, when it has a small disk of its own."""

    @property
    def owner_dsn(self) -> str:
        """PostgreSQL as a superuser, not through a proxy."""
        return self.servers.postgres_dsn

    @property
    def app_dsn(self) -> str:
        """PostgreSQL as the services' role, not through a proxy."""
        return self.servers.postgres_app_dsn

    @property
    def nats_url(self) -> str:
        """NATS, not through a proxy."""
        return self.servers.nats_url

    @property
    def redis_url(self) -> str:
        """Valkey, not through a proxy."""
        return self.servers.redis_url

    @property
    def ingest_urls(self) -> list[str]:
        """Where clients write: each replica's own address, but the first through the proxy `ingest`."""
        return self._client_urls("ingest")

    @property
    def query_urls(self) -> list[str]:
        """Where clients read: each replica's own address, but the first through the proxy `query`."""
        return self._client_urls("query")

    @property
    def deaths(self) -> dict[str, list[int]]:
        """The replicas that ended unasked, with their exit statuses."""
        return {name: replica.deaths for name, replica in self.replicas.items() if replica.deaths}

    def of(self, service: str) -> list[Replica]:
        """The replicas of a service."""
        return [replica for replica in self.replicas.values() if replica.service == service]

    async def bring_up(self, name: str) -> None:
        """Have a server run again that is away on purpose, or anyhow."""
        await bring_up(self.servers, name)
        self.held.discard(name)

    def alone(self, what: str) -> AbstractAsyncContextManager[None]:
        """One fault at a time may touch a thing; the next one waits."""
        return self._alone[what]

    async def heads(self) -> dict[str, int]:
        """The newest position of each log, as PostgreSQL has it. Raises as asyncpg does while it is away."""
        connection = await asyncpg.connect(self.owner_dsn, timeout=5)
        try:
            rows = await connection.fetch("select log, max(position) as head from turnlog.events group by log")
        finally:
            connection.terminate()
        return dict.fromkeys(LOGS, 0) | {str(row["log"]): int(row["head"]) for row in rows}

    async def healthy(self, deadline_s: float = HEALTHY_S) -> None:
        """Wait until all servers run and every replica is ready. Raises TimeoutError naming who is not."""
        began = asyncio.get_running_loop().time()
        while gone := set(SERVERS) - self.servers.pids.keys():
            if asyncio.get_running_loop().time() - began > deadline_s:
                raise TimeoutError(f"not running: {gone}")
            await asyncio.sleep(LOOK_S)
        await asyncio.gather(*(r.until_it_answers(deadline_s, "/readyz") for r in self.replicas.values()))

    def _client_urls(self, service: str) -> list[str]:
        urls = [replica.url for replica in self.of(service)]
        return [f"http://127.0.0.1:{self.proxies[service].port}", *urls[1:]]


@asynccontextmanager
async def running(folder: Path, plan: WorldPlan = WorldPlan()) -> AsyncIterator[World]:
    """Everything, ready; the folder should have a short path (unix sockets are in it)."""
    async with AsyncExitStack() as cleanup:
        servers = await start(folder / "data")
        cleanup.push_async_callback(servers.stop)
        world = World(folder, plan, servers)
        cleanup.callback(world.model.close)
        await migrate(servers.postgres_dsn)
        if plan.disk_mib and not missing(("mount",)):
            world.small_disk = await onto_a_small_disk(servers, plan.disk_mib, cleanup)
            await mount_memory(world.aside, f"size={4 * plan.disk_mib}m", cleanup)  # copies must not wait for disks
        else:
            world.aside.mkdir()
        names = [f"{service}-{n}" for service in plan.services for n in range(1, plan.replicas + 1)]
        world.tenants = await _furnish(servers.postgres_dsn, names)
        _put_proxies(world, cleanup)
        for name in names:
            world.replicas[name] = Replica(name, _environment(world, name), folder, servers.postgres_dsn, LOGS)
        for service in ("ingest", "query"):
            if replicas := world.of(service):
                world.proxies[service] = Proxy.start(("127.0.0.1", replicas[0].port))
                cleanup.callback(world.proxies[service].close)
        cleanup.push_async_callback(_stop_all, world)
        await asyncio.gather(*(replica.start() for replica in world.replicas.values()))
        await world.healthy()
        await cleanup.enter_async_context(supervised(world))
        yield world


async def _furnish(owner_dsn: str, names: list[str]) -> dict[str, str]:
    """The second log, the tenants' logs, and a role for each replica: so PostgreSQL can say who holds a lock."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        for name in names:
            await connection.execute(f'create role "{name}" login in role turnlog_app')
        await connection.execute("alter system set max_wal_size = '256MB'")
        await connection.execute("alter system set min_wal_size = '80MB'")
        await connection.execute("select pg_reload_conf()")
        if await connection.fetchval("select to_regproc('turnlog.assign_tenant')") is None:
            return {"tenant-a": "main", "tenant-b": "main"}
        await connection.execute("select turnlog.create_log('second')")
        await connection.execute("select turnlog.assign_tenant('tenant-b', 'second')")
        return {"tenant-a": "main", "tenant-b": "second"}
    finally:
        await connection.close()


def _put_proxies(world: World, cleanup: AsyncExitStack) -> None:
    sockets = Path(unquote(world.servers.postgres_dsn.partition("host=")[2].partition("&")[0]))
    nats_port = urlsplit(world.servers.nats_url).port
    assert nats_port is not None
    upstreams: dict[str, tuple[str, int] | Path] = {
        "postgres": sockets / ".s.PGSQL.5432",
        "nats": ("127.0.0.1", nats_port),
        "valkey": sockets / "valkey.sock",
        "model": ("127.0.0.1", world.model.port),
    }
    for name, upstream in upstreams.items():
        world.proxies[name] = Proxy.start(upstream)
        cleanup.callback(world.proxies[name].close)


def _environment(world: World, name: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TURNLOG_") and k not in _ALIASES}
    port = {name: proxy.port for name, proxy in world.proxies.items()}
    nats = urlsplit(world.servers.nats_url)
    return kept | LIMITS | {
        "TURNLOG_DATABASE_URL": f"postgresql://{name}@127.0.0.1:{port['postgres']}/turnlog?sslmode=disable",
        "TURNLOG_NATS_URL": f"nats://{nats.username}:{nats.password}@127.0.0.1:{port['nats']}",
        "TURNLOG_REDIS_URL": f"redis://127.0.0.1:{port['valkey']}/0",
        "TURNLOG_AUTH": "off",
        "TURNLOG_TENANT_HEADER": TENANT_HEADER,
        "TURNLOG_MODEL_PROVIDER": "openai",
        "TURNLOG_MODEL_NAME": "m",
        "TURNLOG_MODEL_BASE_URL": f"http://127.0.0.1:{port['model']}/v1",
    } | dict(world.plan.environment)  # fmt: skip


_ALIASES = frozenset({"DATABASE_URL", "NATS_URL", "REDIS_URL", "SECRET_KEY"})


async def _stop_all(world: World) -> None:
    for replica in world.replicas.values():
        replica.resume()
    for proxy in world.proxies.values():
        proxy.pass_on()
    await asyncio.gather(*(replica.terminate() for replica in world.replicas.values()))
