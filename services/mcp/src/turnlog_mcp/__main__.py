"""The MCP server as a process: the only place where its parts are wired."""

import asyncio
import sys
from typing import TYPE_CHECKING

from turnlog_mcp.service import api_at, mcp
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import api_port
from turnlog_runtime.settings import McpSettings, SettingsError, load
from turnlog_tracing import tracing

if TYPE_CHECKING:
    from turnlog_tracing.traces import Traces


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = load(McpSettings)
        if not settings.mcp_api_url:
            raise SettingsError("TURNLOG_MCP_API_URL is not set: give the address of the API, or use `turnlog up`")
    except SettingsError as error:
        sys.exit(f"turnlog-mcp: {error}")
    configure_logging("mcp", settings.log_level)
    metrics.started("mcp")

    async def serve(stop: asyncio.Event, traces: "Traces | None") -> None:
        api = api_at(settings, settings.mcp_api_url, traces.memory if traces is not None else None)
        async with mcp(api, settings) as app:
            served = traces.http(app, hand_on_unsampled=True) if traces is not None else app
            async with api_port("mcp", served, {"api": Check(api.ready)}, settings, stop):
                await stop.wait()

    with tracing("mcp") as traces:
        run(lambda stop: serve(stop, traces))


if __name__ == "__main__":
    main()
