"""The compressor as a process: the only place where its parts are wired."""

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from turnlog_bus import Bus
from turnlog_compressor.service import compress, model_of, store_settings, summariser_of
from turnlog_eventstore import Store
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import metrics_port
from turnlog_runtime.settings import CompressorSettings, SettingsError, load, required_url
from turnlog_tracing import tracing

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces


def main() -> None:
    """Compress until SIGTERM or SIGINT."""
    try:
        settings = load(CompressorSettings)
        database_url = required_url(settings.database_url, "DATABASE_URL")
        nats_url = settings.nats_url.get_secret_value() if settings.nats_url else ""
        model_of(settings)  # what is wrong with the model's settings shows now
    except SettingsError as error:
        sys.exit(f"turnlog-compressor: {error}")
    configure_logging("compressor", settings.log_level)
    metrics.started("compressor")
    os.nice(settings.compressor_nice)

    async def serve(stop: asyncio.Event, traces: "Traces | None") -> None:
        async with contextlib.AsyncExitStack() as stack:
            observer = traces.store if traces is not None else None
            store = await Store.open(database_url, store_settings(settings), observer=observer)
            stack.push_async_callback(store.close)
            bus = Bus(nats_url) if nats_url else None
            if bus is not None:
                stack.push_async_callback(bus.close)
            checks = {"postgres": Check(lambda: store.head(settings.log))}
            await stack.enter_async_context(metrics_port("compressor", checks, settings, stop))
            await compress(store, bus, settings, summariser_of(settings, traces), stop, traces)

    with tracing("compressor") as traces:
        run(lambda stop: serve(stop, traces))


if __name__ == "__main__":
    main()
