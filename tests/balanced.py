"""A system behind the shipped gateway: real nginx, two ingest and two query replicas and a projector, each a process
of its own, on the servers of the tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import RealServers
from debian import tool
from rolling import Replica
from turnlog_bench.gateway import Gateway
from turnlog_bench.process import free_port

DRAIN_S = 5.0
SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx"


@dataclass(frozen=True)
class Balanced:
    """A running system behind its gateway."""

    gateway: Gateway
    ingest: tuple[Replica, Replica]
    query: tuple[Replica, Replica]
    projector: Replica

    @property
    def url(self) -> str:
        """Where clients call."""
        return self.gateway.url


@asynccontextmanager
async def balanced(servers: RealServers, log: str, folder: Path) -> AsyncIterator[Balanced]:
    """Everything ready; all processes are ended on leaving."""
    nginx = tool("nginx", ("nginx", "nginx-common"))
    environment = {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_DRAIN_S": str(DRAIN_S),
    }

    def replica(service: str, number: int, port_setting: str = "TURNLOG_PORT") -> Replica:
        log_path = folder / f"{service}-{number}.log"
        return Replica(f"turnlog_{service}", environment, log_path, free_port(), port_setting)

    ingest = (replica("ingest", 1), replica("ingest", 2))
    query = (replica("query", 1), replica("query", 2))
    projector = replica("projector", 1, "TURNLOG_METRICS_PORT")
    gateway = Gateway(nginx, folder / "nginx", free_port())
    async with AsyncExitStack() as cleanup:
        for one in (*ingest, *query, projector):
            cleanup.push_async_callback(one.kill)
        await asyncio.gather(*(one.start() for one in (*ingest, *query, projector)))
        cleanup.push_async_callback(gateway.stop)
        ports = {"ingest": [one.port for one in ingest], "query": [one.port for one in query]}
        await gateway.start(ports, SHIPPED)
        yield Balanced(gateway, ingest, query, projector)
