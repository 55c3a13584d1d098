"""The MCP server over standard input and output, for clients that start it themselves. Called by `turnlog mcp`.

While it serves, standard output carries the protocol and nothing else: whatever is printed goes to standard error.
"""

import asyncio
import os
import threading
from typing import Any

from mcp.server import Server
from mcp.server.stdio import stdio_server

LINE_MAX_BYTES = 1024 * 1024
WAITING_LINES = 16


async def serve_stdio(server: "Server[Any]") -> None:
    """Serve one client until it closes our standard input; requests under way are given up then."""
    lines: Any = Lines(asyncio.get_running_loop())
    async with stdio_server(stdin=lines) as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


class Lines:
    """Lines of standard input, read by a thread of its own; a few may wait.

    The thread is no part of the event loop: a read that waits cannot be cancelled, and would hold up the end of the
    process until the client sends one more line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(WAITING_LINES)
        self._input = os.fdopen(os.dup(0), "rb")
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        self._room.release()
        return line

    def _read(self) -> None:
        while line := self._input.readline(LINE_MAX_BYTES):
            self._room.acquire()
            if not self._put(line.decode(errors="replace")):
                return
        self._put(None)

    def _put(self, line: str | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:  # the loop has ended
            return False
        return True
