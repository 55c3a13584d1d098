"""The running parts of the ingest service around its app: what commits and relays each log, and its orderly end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnlog_bus import Bus, BusSettings
from turnlog_eventstore import Store, StoreSettings
from turnlog_ingest.app import create_app
from turnlog_ingest.log_writers import LogWriters
from turnlog_ingest.writes import Writes
from turnlog_runtime.asgi import App
from turnlog_runtime.principal import Gate
from turnlog_runtime.settings import IngestSettings, SharedSettings
from turnlog_runtime.tenants import unchecked_gate


def store_settings(settings: SharedSettings) -> StoreSettings:
    """The store's limits as the environment sets them."""
    return StoreSettings(
        pool_connections=settings.database_connections, deadline_s=settings.deadline_s, role=settings.database_role
    )


def bus_settings(settings: SharedSettings) -> BusSettings:
    """The bus's limits as the environment sets them."""
    return BusSettings(
        stream_replicas=settings.stream_replicas,
        stream_max_bytes=settings.stream_max_bytes,
        stream_max_age_s=settings.stream_max_age_s,
    )


@asynccontextmanager
async def ingest(
    store: Store,
    bus: Bus,
    settings: IngestSettings,
    stop: asyncio.Event | None = None,
    gate: Gate | None = None,
) -> AsyncIterator[App]:
    """The write API with the commit, fence and relay tasks of every log running.

    Once `stop` is set the relays give their leadership up, so that other replicas publish while this one still commits
    what it is sent. On leaving (the HTTP server has stopped taking requests by then) queued writes are committed; what
    the relays do not reach, the next ones do. `gate` says who is let in; none is given only where the settings
    ask for no credentials.
    """
    gate = gate or unchecked_gate(settings)
    writers = LogWriters(store, bus, settings, stop or asyncio.Event())
    writers.start()
    try:
        yield create_app(
            Writes(writers, store, settings.deadline_s),
            settings.body_max_bytes,
            settings.bulk_max_bytes,
            gate,
            settings.deadline_s,
        )
    finally:
        await writers.close()
