"""The write and the read API and MCP in one process on one port: `python -m turnlog_cli.api`, started by `turnlog up`.

The services stay whole and apart: reads and writes have their own connections, so that slow reads never hold up a
commit, and MCP calls the API as any client would, only without a socket.
"""

import asyncio
import contextlib
import sys
from types import ModuleType

from redis.asyncio import Redis

from turnlog_access.door import door
from turnlog_bus import Bus
from turnlog_cli.compose import OneApi, WithMcp
from turnlog_eventstore import Store
from turnlog_ingest.service import bus_settings, ingest, store_settings
from turnlog_limits import limits_gate
from turnlog_query.service import query
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run, spare_the_collector
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import api_port
from turnlog_runtime.principal import in_order
from turnlog_runtime.settings import IngestSettings, McpSettings, QuerySettings, SettingsError, load, required_url


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        writing, reading, speaking = load(IngestSettings), load(QuerySettings), load(McpSettings)
        database_url = required_url(writing.database_url, "DATABASE_URL")
        nats_url = required_url(writing.nats_url, "NATS_URL")
        redis_url = required_url(writing.redis_url, "REDIS_URL")
    except SettingsError as error:
        sys.exit(f"turnlog-api: {error}")
    configure_logging("api", writing.log_level)
    metrics.started("api")

    async def serve(stop: asyncio.Event) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stores = [await Store.open(database_url, store_settings(writing)) for _ in range(2)]
            buses = [Bus(nats_url, bus_settings(writing)) for _ in range(2)]
            for store in stores:
                stack.push_async_callback(store.close)
            for bus in buses:
                stack.push_async_callback(bus.close)
            redis = Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
            stack.push_async_callback(redis.aclose)
            limits = await stack.enter_async_context(limits_gate(writing))
            credentials = await stack.enter_async_context(door(writing))
            gate = in_order(credentials, limits)
            writes = await stack.enter_async_context(ingest(stores[0], buses[0], writing, stop, gate))
            reads = await stack.enter_async_context(query(stores[1], buses[1], reading, stop, gate))
            checks = {
                "postgres": Check(lambda: stores[0].head(writing.log)),
                "nats": Check(buses[0].ask, needed=False),
                "redis": Check(redis.ping, needed=False),
            }
            api = OneApi(writes, reads, gate)
            served = WithMcp(api)
            async with api_port("api", served, checks, writing, stop):
                # Loading the SDK takes half as long as all the rest, so the API does not wait for it.
                service = await asyncio.to_thread(_mcp_service)
                served.add(await stack.enter_async_context(service.mcp(service.api_of(speaking, api), speaking, gate)))
                await stop.wait()

    run(serve)


def _mcp_service() -> ModuleType:
    from turnlog_mcp import service

    spare_the_collector()
    return service


if __name__ == "__main__":
    main()
