"""A model's stand-in: a real HTTP server that speaks OpenAI's chat completions as a stream, or refuses."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ModelServer:
    """What was asked, and how to answer."""

    url: str = ""
    text: str = "[1] The traveller flies to Lisbon."
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A running model server on a port of its own."""
    found = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            body = _events(found.text) if found.status == 200 else b'{"error": {"message": "no", "type": "t"}}'
            self.send_response(found.status)
            self.send_header("content-type", "text/event-stream" if found.status == 200 else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _events(text: str) -> bytes:
    chunks: list[dict[str, Any]] = [
        {"id": "x", "model": "served-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]},
        {"id": "x", "model": "served-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {
            "id": "x",
            "model": "served-1",
            "choices": [],
            "usage": {"prompt_tokens": 321, "completion_tokens": 12, "total_tokens": 333},
        },
    ]
    return b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
