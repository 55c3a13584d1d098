"""The projector as a process: settings, logging, store, bus, then a projector for each log until a signal."""

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from turnlog_bus import Bus
from turnlog_eventstore import Store, StoreSettings, each_log
from turnlog_follow import Follower, FollowerLag, Lags
from turnlog_projector.metrics import lag_events
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_projector.traced import TracedFollower, TracedWriter
from turnlog_projector.upkeep import UpkeepOptions
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import metrics_port
from turnlog_runtime.settings import ProjectorSettings, SettingsError, load, required_url
from turnlog_tracing import tracing
from turnlog_views import ViewWriter, WriterSettings

if TYPE_CHECKING:
    from turnlog_tracing.bus import BusSpans
    from turnlog_tracing.traces import Traces


async def main(stop: asyncio.Event, settings: ProjectorSettings, traces: "Traces | None" = None) -> None:
    """Project every log (or those in the settings) until `stop` is set."""
    store = await Store.open(
        required_url(settings.database_url, "DATABASE_URL"),
        StoreSettings(
            pool_connections=min(4, settings.database_connections),
            deadline_s=settings.deadline_s,
            role=settings.database_role,
        ),
    )
    # Without an address of NATS, PostgreSQL is polled.
    carrier = traces.bus() if traces is not None else None
    bus = Bus(settings.nats_url.get_secret_value(), carrier=carrier) if settings.nats_url else None
    checks = {"postgres": Check(lambda: store.head(settings.log))}
    lags = Lags(store)
    try:
        async with metrics_port("projector", checks, settings, stop), lags.kept():
            await each_log(
                store,
                settings.logs_to_lead,
                lambda log: projector(store, bus, settings, log, lags, traces, carrier).run(stop),
                stop,
            )
    finally:
        if bus is not None:
            await bus.close()
        await store.close()


def projector(
    store: Store,
    bus: Bus | None,
    settings: ProjectorSettings,
    log: str,
    lags: Lags,
    traces: "Traces | None" = None,
    carrier: "BusSpans | None" = None,
) -> Projector:
    """A projector of one log, with connections to Redis of its own. `carrier` is that of the bus."""
    lag = FollowerLag(log, "projector", lambda: store.leads(f"projector/{log}"), [lag_events.labels(log)])
    lags.add(lag)
    url = required_url(settings.redis_url, "REDIS_URL")
    views = WriterSettings(window_turns=settings.recent_turns, idle_ttl_s=settings.view_idle_s)
    upkeep = UpkeepOptions()
    rebuild = replace(
        upkeep.rebuild,
        pace=replace(upkeep.rebuild.pace, events_per_s=settings.rebuild_events_per_s),
        keep_s=settings.rebuild_keep_s,
    )
    options = ProjectorOptions(
        portion_events=settings.apply_batch_events,
        upkeep=replace(upkeep, rebuild_auto=settings.rebuild_auto, rebuild=rebuild),
    )

    def follower() -> Follower:
        return Follower(store, bus, log, lag=lag)

    if traces is None:
        return Projector(store, follower, ViewWriter(url, log, views), options)
    spans = traces.processing(log, "projector", carrier)
    return Projector(store, lambda: TracedFollower(follower(), spans), TracedWriter(url, log, views, spans), options)


if __name__ == "__main__":
    try:
        loaded = load(ProjectorSettings)
        for value, name in ((loaded.database_url, "DATABASE_URL"), (loaded.redis_url, "REDIS_URL")):
            required_url(value, name)
    except SettingsError as error:
        sys.exit(f"turnlog-projector: {error}")
    configure_logging("projector", loaded.log_level)
    metrics.started("projector")
    with tracing("projector") as traces:
        run(lambda stop: main(stop, loaded, traces))
