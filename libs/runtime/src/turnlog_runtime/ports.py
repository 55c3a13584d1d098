"""Where a service can be reached: its API's port, and the port of its metrics where the settings name one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from turnlog_runtime.asgi import App
from turnlog_runtime.health import Check, Health, nothing
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.settings import SharedSettings


@asynccontextmanager
async def api_port(
    service: str, app: App, checks: Mapping[str, Check], settings: SharedSettings, stop: asyncio.Event
) -> AsyncIterator[int]:
    """Serve an API with /livez, /readyz and /metrics (the last only on `metrics_port`, where that is set); yields the
    port. Metrics can be had until the last request is answered."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(metrics_port(service, checks, settings, stop))
        health = Health(app, checks, stop, service, metrics=not settings.metrics_port)
        yield await stack.enter_async_context(
            serving(health, settings.host, settings.port, settings.shutdown_s, settings.drain_s)
        )


@asynccontextmanager
async def metrics_port(
    service: str, checks: Mapping[str, Check], settings: SharedSettings, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Serve /metrics, /livez and /readyz on `metrics_port`; nothing where that is 0."""
    if not settings.metrics_port:
        yield
        return
    health = Health(nothing, checks, stop, service)
    async with serving(health, settings.host, settings.metrics_port, settings.shutdown_s):
        yield
