"""The query service as a process: the only place where its parts are wired."""

import asyncio
import sys
from typing import TYPE_CHECKING

from turnlog_access.door import door
from turnlog_bus import Bus
from turnlog_eventstore import Store, StoreSettings
from turnlog_limits import limits_gate
from turnlog_query.document import whole_document
from turnlog_query.service import query
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import api_port
from turnlog_runtime.principal import in_order
from turnlog_runtime.settings import QuerySettings, SettingsError, load, required_url
from turnlog_tracing import tracing

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = load(QuerySettings)
        database_url = required_url(settings.database_url, "DATABASE_URL")
        whole = whole_document(settings.api_document)
    except SettingsError as error:
        sys.exit(f"turnlog-query: {error}")
    configure_logging("query", settings.log_level)
    metrics.started("query")

    async def serve(stop: asyncio.Event, traces: "Traces | None") -> None:
        store = await Store.open(
            database_url,
            StoreSettings(
                pool_connections=settings.database_connections,
                deadline_s=settings.deadline_s,
                role=settings.database_role,
            ),
            observer=traces.store if traces is not None else None,
        )
        # Without an address of NATS, live events come from PostgreSQL, a little later.
        bus = Bus(settings.nats_url.get_secret_value()) if settings.nats_url is not None else None
        try:
            async with (
                door(settings) as credentials,
                limits_gate(settings) as limits,
                query(store, bus, settings, stop, in_order(credentials, limits), traces, whole) as app,
            ):
                # Not needed while Redis answers: reads of recent turns go on without PostgreSQL.
                checks = {"postgres": Check(lambda: store.head(settings.log))}
                served = traces.http(app) if traces is not None else app
                async with api_port("query", served, checks, settings, stop):
                    await stop.wait()
        finally:
            if bus is not None:
                await bus.close()
            await store.close()

    with tracing("query") as traces:
        run(lambda stop: serve(stop, traces))


if __name__ == "__main__":
    main()
