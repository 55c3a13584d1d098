"""The ingest service as a process: the only place where its parts are wired."""

import asyncio
import sys

from turnlog_access.door import door
from turnlog_bus import Bus
from turnlog_eventstore import Store
from turnlog_ingest.service import bus_settings, ingest, store_settings
from turnlog_limits import limits_gate
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import api_port
from turnlog_runtime.principal import in_order
from turnlog_runtime.settings import IngestSettings, SettingsError, load, required_url


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = load(IngestSettings)
        database_url = required_url(settings.database_url, "DATABASE_URL")
        nats_url = required_url(settings.nats_url, "NATS_URL")
    except SettingsError as error:
        sys.exit(f"turnlog-ingest: {error}")
    configure_logging("ingest", settings.log_level)
    metrics.started("ingest")

    async def serve(stop: asyncio.Event) -> None:
        store = await Store.open(database_url, store_settings(settings))
        bus = Bus(nats_url, bus_settings(settings))
        try:
            async with (
                door(settings) as credentials,
                limits_gate(settings) as limits,
                ingest(store, bus, settings, stop, in_order(credentials, limits)) as app,
            ):
                checks = {"postgres": Check(lambda: store.head(settings.log)), "nats": Check(bus.ask, needed=False)}
                async with api_port("ingest", app, checks, settings, stop):
                    await stop.wait()
        finally:
            await bus.close()
            await store.close()

    run(serve)


if __name__ == "__main__":
    main()
