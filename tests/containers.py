"""Servers from container images, for machines with Docker: `pytest --servers containers`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs
from testcontainers.postgres import PostgresContainer

if TYPE_CHECKING:
    from conftest import RealServers


@contextmanager
def running_containers() -> "Iterator[RealServers]":
    """PostgreSQL 18, NATS 2.12 with JetStream and Valkey 9 in containers of their own."""
    from conftest import RealServers

    nats = DockerContainer("nats:2.12").with_command("-js").with_exposed_ports(4222)
    valkey = DockerContainer("valkey/valkey:9").with_exposed_ports(6379)
    with PostgresContainer("postgres:18", driver=None) as postgres, nats, valkey:
        wait_for_logs(nats, "Server is ready", 30)
        wait_for_logs(valkey, "Ready to accept connections", 30)
        dsn = postgres.get_connection_url()
        nats_url = f"nats://{nats.get_container_host_ip()}:{nats.get_exposed_port(4222)}"
        redis_url = f"redis://{valkey.get_container_host_ip()}:{valkey.get_exposed_port(6379)}/0"
        yield RealServers(dsn, dsn, nats_url, redis_url, None)
