"""The write and the read API in one process on one port: `python -m turnlog_cli.api`, started by `turnlog up`.

Both services stay whole and apart: each has its own connections, so that slow reads never hold up a commit.
"""

import asyncio
import contextlib
import sys

from redis.asyncio import Redis

from turnlog_bus import Bus
from turnlog_cli.compose import OneApi
from turnlog_eventstore import Store
from turnlog_ingest.service import bus_settings, ingest, store_settings
from turnlog_limits import limits_gate
from turnlog_query.service import query
from turnlog_runtime.health import Check, Health
from turnlog_runtime.lifecycle import run, serving
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.principal import in_turn
from turnlog_runtime.settings import IngestSettings, QuerySettings, SettingsError, load, required_url
from turnlog_runtime.tenants import tenant_header_gate


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        writing, reading = load(IngestSettings), load(QuerySettings)
        database_url = required_url(writing.database_url, "DATABASE_URL")
        nats_url = required_url(writing.nats_url, "NATS_URL")
        redis_url = required_url(writing.redis_url, "REDIS_URL")
    except SettingsError as error:
        sys.exit(f"turnlog-api: {error}")
    configure_logging("api", writing.log_level)

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
            gate = in_turn(tenant_header_gate(writing.tenant_header), limits)
            writes = await stack.enter_async_context(ingest(stores[0], buses[0], writing, stop, gate))
            reads = await stack.enter_async_context(query(stores[1], buses[1], reading, stop, gate))
            checks = {
                "postgres": Check(lambda: stores[0].head(writing.log)),
                "nats": Check(buses[0].client, needed=False),
                "redis": Check(redis.ping, needed=False),
            }
            health = Health(OneApi(writes, reads), checks, stop)
            async with serving(health, writing.host, writing.port, writing.shutdown_s, writing.drain_s):
                await stop.wait()

    run(serve)


if __name__ == "__main__":
    main()
