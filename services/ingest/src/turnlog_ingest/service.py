"""The running parts of the ingest service around its app: the commit task, the relay, and their orderly end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnlog_bus import Bus, BusSettings
from turnlog_eventstore import Store, StoreSettings
from turnlog_ingest.app import create_app
from turnlog_ingest.group_commit import GroupCommit, GroupCommitSettings
from turnlog_ingest.relay import Fence, Relay, RelaySettings
from turnlog_ingest.writes import Writes
from turnlog_runtime.asgi import App
from turnlog_runtime.lifecycle import until
from turnlog_runtime.settings import IngestSettings, SharedSettings

RELAY_ENDS_S = 0.5
"""How long a relay that gives up its leadership may finish what it is publishing."""


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
    store: Store, bus: Bus, settings: IngestSettings, stop: asyncio.Event | None = None
) -> AsyncIterator[App]:
    """The write API with its commit and relay tasks running.

    Once `stop` is set the relay gives its leadership up, so that another replica publishes while this one still
    commits what it is sent. On leaving (the HTTP server has stopped taking requests by then) queued writes are
    committed; what the relay does not reach, the next one does.
    """
    fence = Fence()
    relay_settings = RelaySettings(batch_events=settings.relay_batch_events, poll_s=settings.relay_poll_s)
    relay = Relay(store, bus, settings.log, relay_settings, fence)
    limits = GroupCommitSettings(settings.commit_batch_events, settings.commit_queue_events, settings.deadline_s)
    commit = GroupCommit(store, settings.log, limits, relay.committed)
    writes = Writes(commit, store, fence)
    stop = stop or asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        committing = tasks.create_task(commit.run())
        relaying = tasks.create_task(until(stop, relay.run(stop), RELAY_ENDS_S))
        hinting = tasks.create_task(relay.hint_others())
        try:
            yield create_app(
                writes,
                settings.body_max_bytes,
                settings.bulk_max_bytes,
                settings.tenant_header,
                settings.deadline_s,
            )
        finally:
            stop.set()
            commit.close()
            await asyncio.wait({committing}, timeout=settings.shutdown_s)
            committing.cancel()
            relaying.cancel()
            hinting.cancel()
