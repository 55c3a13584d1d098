"""The MCP server as a process: the only place where its parts are wired."""

import asyncio
import sys

from turnlog_mcp.service import api_at, mcp
from turnlog_runtime import metrics
from turnlog_runtime.health import Check
from turnlog_runtime.lifecycle import run
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.ports import api_port
from turnlog_runtime.settings import McpSettings, SettingsError, load


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

    async def serve(stop: asyncio.Event) -> None:
        api = api_at(settings, settings.mcp_api_url)
        async with mcp(api, settings) as app, api_port("mcp", app, {"api": Check(api.ready)}, settings, stop):
            await stop.wait()

    run(serve)


if __name__ == "__main__":
    main()
