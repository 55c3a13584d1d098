"""A collector's stand-in: a real HTTP server that speaks OTLP/HTTP, keeps what it is sent, and can behave badly."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True)
class Seen:
    """One span as it was received."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    status_text: str


@dataclass
class Collector:
    """What was received, and how to behave: `answer` gives the status of the next answer, or blocks."""

    port: int = 0
    raw: list[bytes] = field(default_factory=list)
    spans: list[Seen] = field(default_factory=list)
    requests: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[], int] = lambda: 200
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The base address, as `OTEL_EXPORTER_OTLP_ENDPOINT` takes it."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """Keep a request's spans."""
        data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        message = ExportTraceServiceRequest.FromString(data)
        self.raw.append(data)
        self.headers.append(headers)
        for group in message.resource_spans:
            service = _attributes(group.resource.attributes)["service.name"]
            self.spans += [_seen(service, span) for scope in group.scope_spans for span in scope.spans]

    def silence(self) -> int:
        """An answer that never comes."""
        self.ended.wait(LONGEST_WAIT_S)
        return 503

    def trace(self, trace_id: str) -> list[Seen]:
        """The spans of a trace, in the order they began."""
        return sorted((s for s in list(self.spans) if s.trace_id == trace_id), key=lambda s: s.start_ns)

    def wait(self, trace_id: str, enough: Callable[[list[Seen]], bool], deadline_s: float = 30.0) -> list[Seen]:
        """The spans of a trace, once they are enough."""
        deadline = time.monotonic() + deadline_s
        while not enough(found := self.trace(trace_id)):
            assert time.monotonic() < deadline, drawn(found) or [s.name for s in self.spans]
            time.sleep(0.02)
        return found


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.code == 2,
        span.status.message,
    )


@contextmanager
def collector() -> Iterator[Collector]:
    """A running collector on a port of its own."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.requests += 1
            status = found.answer()
            if status == 200:
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                found.take({name.lower(): value for name, value in self.headers.items()}, body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", found.url + "/elsewhere")
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing is printed."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def drawn(spans: list[Seen]) -> str:
    """A trace as a tree with its times, for people."""
    began = min((s.start_ns for s in spans), default=0)
    known = {s.span_id for s in spans}
    lines: list[str] = []

    def draw(span: Seen, depth: int) -> None:
        name = "  " * depth + f"{span.name}"
        times = f"{(span.start_ns - began) / 1e6:8.2f} {(span.end_ns - span.start_ns) / 1e6:8.2f} ms"
        lines.append(f"{name:<58} {span.kind:<9} {span.service:<19} {times}")
        for child in sorted((s for s in spans if s.parent_id == span.span_id), key=lambda s: s.start_ns):
            draw(child, depth + 1)

    for root in sorted((s for s in spans if s.parent_id not in known), key=lambda s: s.start_ns):
        draw(root, 0)
    return "\n".join(lines)
