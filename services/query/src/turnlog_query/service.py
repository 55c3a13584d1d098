"""The running parts of the query service around its app: the reader of the read models, the live hubs,
the watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from turnlog_bus import Bus
from turnlog_events.tokens import load
from turnlog_eventstore import Store, TenantLogs
from turnlog_follow import Follower, FollowerLag, Lags
from turnlog_query.app import create_app
from turnlog_query.background import background
from turnlog_query.deps import QueryDeps
from turnlog_query.hub import LiveHub
from turnlog_query.limits import Limits
from turnlog_query.logs import Hubs
from turnlog_query.traced import TracedViews
from turnlog_runtime.asgi import App
from turnlog_runtime.principal import Gate
from turnlog_runtime.settings import QuerySettings
from turnlog_runtime.tenants import unchecked_gate
from turnlog_views import LogIdentity, PumpSettings, ReaderSettings, ViewReader

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces


@asynccontextmanager
async def query(
    store: Store,
    bus: Bus | None,
    settings: QuerySettings,
    stop: asyncio.Event,
    gate: Gate | None = None,
    traces: "Traces | None" = None,
    whole: bytes | None = None,
) -> AsyncIterator[App]:
    """The read API with its background tasks running.

    Live streams end when `stop` is set, so set it before the HTTP server is asked to finish its open
    requests. Without an address of Redis every read is answered by PostgreSQL. `gate` says who is let in; none
    is given only where the settings ask for no credentials. `whole` is the document of the whole API, if there is one.
    """
    gate = gate or unchecked_gate(settings)
    await asyncio.to_thread(load)
    limits = Limits.of(settings)
    views = await _views(store, settings)

    lags = Lags(store)

    def hub_of(log: str) -> LiveHub:
        lag = FollowerLag(log, "streams", lambda: hub.streams > 0)
        hub = LiveHub(store, Follower(store, bus, log, lag=lag), log, limits.stream_waiting_events)
        lags.add(lag)
        return hub

    seen = TracedViews(views, traces) if views is not None and traces is not None else views
    deps = QueryDeps(store, seen, Hubs(hub_of), settings.log, limits, TenantLogs(store, settings.log))
    try:
        async with lags.kept(), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(background(deps, stop))
            try:
                yield create_app(deps, gate, whole)
            finally:
                running.cancel()
    finally:
        if views is not None:
            await views.close()


async def _views(store: Store, settings: QuerySettings) -> ViewReader | None:
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    if not url:
        return None

    async def identity(log: str) -> LogIdentity:
        head = await store.head(log)
        return LogIdentity(head.incarnation, head.epoch)

    return await ViewReader.open(url, identity, ReaderSettings(pump=PumpSettings(settings.views_deadline_s)))
