"""A model server on this machine: OpenAI's chat completions over real HTTP, behaving well, badly or not at all.

`mode` is changed while it runs. Called by `world.py`; the compressors reach it through a proxy.
"""

import asyncio
import itertools
import json
import threading
from typing import Any, Literal, get_args

Mode = Literal["ok", "slow", "refuses", "garbage", "half", "endless", "silent"]
MODES: tuple[Mode, ...] = get_args(Mode)
SLOW_S = 20.0
ENDLESS_BYTES = 2**30
LINE_CHARS = 120
COMMAND_S = 10.0


class ModelServer:
    """Listens on 127.0.0.1:`port` until `close`; `served` counts the requests of each mode."""

    def __init__(self) -> None:
        self.mode: Mode = "ok"
        self.served: dict[str, int] = dict.fromkeys(MODES, 0)
        self.port = 0
        self._turn = itertools.count()
        self._never = asyncio.Event()  # kept here: a task whose event nobody holds is collected as it waits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model", daemon=True)

    @classmethod
    def start(cls) -> "ModelServer":
        """Listen on a free port."""
        server = cls()
        server._thread.start()
        asyncio.run_coroutine_threadsafe(server._listen(), server._loop).result(COMMAND_S)
        return server

    def close(self) -> None:
        """Close every connection and end the thread; a second call does nothing."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(COMMAND_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(COMMAND_S)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=COMMAND_S / 2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
                request = json.loads(await reader.readexactly(length) or b"{}")
                mode = self.mode
                self.served[mode] += 1
                await self._behave(mode, summary_of(request), writer)
        except (asyncio.IncompleteReadError, OSError, ValueError, asyncio.CancelledError):
            pass  # the caller went, or the server closes
        finally:
            writer.transport.abort()

    async def _behave(self, mode: Mode, text: str, writer: asyncio.StreamWriter) -> None:
        if mode == "silent":
            await self._never.wait()
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        if mode == "refuses":
            status = ("500 Internal Server Error", "429 Too Many Requests")[next(self._turn) % 2]
            await _send(writer, status, b'{"error": {"message": "no", "type": "t"}}')
        elif mode == "garbage":
            kinds = (b"data: {not json\n\n", stream_of("I am sorry, I cannot help with that."), b"\x00\xff" * 500)
            await _send(writer, "200 OK", kinds[next(self._turn) % len(kinds)])
        elif mode == "half":
            body = stream_of(text, end=False)
            await _send(writer, "200 OK", body, announced_bytes=2 * len(body))
            raise ConnectionAbortedError
        elif mode == "endless":
            await _send(writer, "200 OK", b"", announced_bytes=ENDLESS_BYTES)
            piece = stream_of("[1] so it went on " * 100, end=False) * 32
            while True:
                writer.write(piece)
                await writer.drain()
        else:
            await _send(writer, "200 OK", stream_of(text))


def summary_of(request: dict[str, Any]) -> str:
    """A short summary in the form that the compressor asks for: every other of the lines that the prompt shows."""
    user = str(request.get("messages", [{}])[-1].get("content", ""))
    rows = [json.loads(line) for line in user.splitlines() if line.startswith("{")]
    return "\n".join(f"[{row['version']}] {' '.join(str(row['text']).split())[:LINE_CHARS]}" for row in rows[::2])


def stream_of(text: str, *, end: bool = True) -> bytes:
    """A streamed answer; without `end` it does not say that it is over."""
    pieces: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": text}}]
    pieces += [{"delta": {}, "finish_reason": "stop"}] if end else []
    chunks: list[dict[str, Any]] = [{"id": "x", "model": "m", "choices": [{"index": 0, **piece}]} for piece in pieces]
    usage = {"prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 330}
    chunks += [{"id": "x", "model": "m", "choices": [], "usage": usage}] if end else []
    body = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks)
    return body + (b"data: [DONE]\n\n" if end else b"")


async def _send(writer: asyncio.StreamWriter, status: str, body: bytes, announced_bytes: int | None = None) -> None:
    length = len(body) if announced_bytes is None else announced_bytes
    writer.write(f"HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n".encode())
    writer.write(body)
    await writer.drain()
