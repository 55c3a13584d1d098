"""`turnlog mcp`: MCP on standard input and output, until the input ends.

Standard output carries the protocol alone; what happens is logged to standard error.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from turnlog_cli.addresses import URL_VARIABLE, key_in
from turnlog_cli.addresses import api as api_of
from turnlog_cli.attached import AttachedApi
from turnlog_cli.stack import Plan
from turnlog_client import AsyncClient, RetryPolicy
from turnlog_mcp.api import Api, ClientApi
from turnlog_mcp.server import memory_server
from turnlog_mcp.stdio import serve_stdio
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.settings import McpSettings, SharedSettings, check_all, load

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def speak_mcp(settings: SharedSettings, url: str | None, data_dir: Path) -> None:
    """Serve one client. Raises `CommandError`, or what starting the system raises, before anything is served."""
    check_all(os.environ)  # now, not in each service's log
    configure_logging("mcp", settings.log_level)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_speak(Plan(data_dir, settings, port=0), url or os.environ.get(URL_VARIABLE)))


async def _speak(plan: Plan, url: str | None) -> None:
    me, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert me is not None
    for number in SIGNALS:
        loop.add_signal_handler(number, me.cancel)
    settings = load(McpSettings)
    async with AsyncExitStack() as cleanup:
        api = await _api(cleanup, plan, url, settings.mcp_call_s)
        try:
            await serve_stdio(memory_server(api, settings.mcp_answer_max_chars))
        except* BrokenPipeError:
            _say("client_gone")


async def _api(cleanup: AsyncExitStack, plan: Plan, url: str | None, call_s: float) -> Api:
    if url is None:
        key = key_in(os.environ) or None
        return await cleanup.enter_async_context(AttachedApi(plan, key, call_s, _say))
    found = api_of(url, plan.data_dir)
    client = AsyncClient(found.url, api_key=found.key, retry=RetryPolicy(total_s=call_s))
    return ClientApi(await cleanup.enter_async_context(client), call_s)


def _say(event: str, **facts: object) -> None:
    sys.stderr.write(json.dumps({"event": event, **facts}, default=str) + "\n")
