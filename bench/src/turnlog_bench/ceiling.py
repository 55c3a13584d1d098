"""A server that is as good as free: a fixed answer per request, unparsed. What the generator reaches against it is what
the generator can do.

    python -m turnlog_bench.ceiling PORT
"""

import asyncio
import sys
from typing import cast

from turnlog_runtime.lifecycle import run

ANSWER = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n" + b'{"ok":true}'


class Answering(asyncio.Protocol):
    """Answers whatever arrives. The generator's requests fit one read each and never overlap."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is registered as none

    def data_received(self, data: bytes) -> None:
        """One request, one answer."""
        self._transport.write(ANSWER)


async def serve(stop: asyncio.Event) -> None:
    """Serve on the port given as the only argument."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await stop.wait()


if __name__ == "__main__":
    run(serve)
