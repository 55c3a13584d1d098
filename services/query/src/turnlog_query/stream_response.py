"""A streaming answer whose every step is bounded: it ends when the client leaves, or takes no data in time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from turnlog_eventstore import StoreError
from turnlog_runtime.deadlines import lift

_log = structlog.get_logger()


class StreamResponse(Response):
    """Server-sent events from an iterator of bytes."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None], send_s: float) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self.raw_headers = [(k, v) for k, v in self.raw_headers if k != b"content-length"]
        self._chunks = chunks
        self._send_s = send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the chunks end or the client is gone, whichever is first."""
        lift(scope)
        sending = asyncio.ensure_future(self._send_all(send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    async with asyncio.timeout(self._send_s):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (TimeoutError, StoreError) as error:
            # The client resumes with its last id; ending the answer is all that can be said after its start.
            _log.info("stream_ended", cause=type(error).__name__)
        async with asyncio.timeout(self._send_s):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
