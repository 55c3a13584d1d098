"""A model's HTTP server in a thread, for tests of whole systems: OpenAI's form, answering as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS_IN, TOKENS_OUT = 1_000, 100


class ModelServer:
    """`answers` are given one a call: a text, or an error's status; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[str | int] = [500]
        self.calls: list[dict[str, Any]] = []
        self.url = ""

    def next(self, call: dict[str, Any]) -> str | int:
        """What to answer to a call."""
        self.calls.append(call)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """One that listens."""
    model = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = model.next(call)
            if isinstance(answer, int):
                self._send(answer, b'{"error": {"message": "no", "type": "t"}}', "application/json")
            else:
                self._send(200, _events(answer), "text/event-stream")

        def _send(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _events(text: str) -> bytes:
    pieces: list[dict[str, Any]] = [
        {"delta": {"role": "assistant", "content": text}},
        {"delta": {}, "finish_reason": "stop"},
    ]
    chunks: list[dict[str, Any]] = [
        {"id": "x", "model": "served-1", "choices": [{"index": 0, **piece}]} for piece in pieces
    ]
    usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
    chunks.append({"id": "x", "model": "served-1", "choices": [], "usage": usage})
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
