"""The projector as a process: settings, logs, store, bus, views, then project until a signal."""

import asyncio
from contextlib import AsyncExitStack

from turnlog_bus import Bus
from turnlog_eventstore import Store, StoreSettings
from turnlog_follow import Follower
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_runtime.health import Check, Health, nothing
from turnlog_runtime.lifecycle import run, serving
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.settings import ProjectorSettings, load, required_url
from turnlog_views import ViewWriter, WriterSettings


async def main(stop: asyncio.Event, settings: ProjectorSettings) -> None:
    """Project the log until `stop` is set."""
    store = await Store.open(
        required_url(settings.database_url, "DATABASE_URL"),
        StoreSettings(
            pool_connections=min(4, settings.database_connections),
            deadline_s=settings.deadline_s,
            role=settings.database_role,
        ),
    )
    # Without an address of NATS, PostgreSQL is polled.
    bus = Bus(settings.nats_url.get_secret_value()) if settings.nats_url else None
    health = Health(nothing, {"postgres": Check(lambda: store.head(settings.log))})
    try:
        async with AsyncExitStack() as stack:
            if settings.metrics_port:
                await stack.enter_async_context(
                    serving(health, settings.host, settings.metrics_port, settings.shutdown_s)
                )
            await projector(store, bus, settings).run(stop)
    finally:
        if bus is not None:
            await bus.close()
        await store.close()


def projector(store: Store, bus: Bus | None, settings: ProjectorSettings) -> Projector:
    """A projector of the log that the settings name."""
    writer = ViewWriter(
        required_url(settings.redis_url, "REDIS_URL"),
        settings.log,
        WriterSettings(window_turns=settings.recent_turns, idle_ttl_s=settings.view_idle_s),
    )
    options = ProjectorOptions(portion_events=settings.apply_batch_events)
    return Projector(store, lambda: Follower(store, bus, settings.log), writer, options)


if __name__ == "__main__":
    loaded = load(ProjectorSettings)
    configure_logging("projector", loaded.log_level)
    run(lambda stop: main(stop, loaded))
