"""Traces without a server: what the variables ask for, trace contexts as text, routes, and which events go together."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from turnlog_cli.stack import MODULES, Plan, _order
from turnlog_events.event import Event
from turnlog_runtime.log_context import add_trace
from turnlog_runtime.settings import SharedSettings
from turnlog_tracing import tracing
from turnlog_tracing.bus import KEPT_MAX, BusSpans
from turnlog_tracing.context import is_sampled, parsed, written
from turnlog_tracing.groups import FRESH_S, grouped
from turnlog_tracing.http import caller_of
from turnlog_tracing.provider import resource_of
from turnlog_tracing.sending import is_this_machine
from turnlog_tracing.switch import NotUsable, wanted
from turnlog_tracing.traces import Traces

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NOW_S = 1_800_000_000.0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be the address"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "only http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "zip9"}, "refuses a variable"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "refuses a variable"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "refuses a variable"),
    ],
)
def test_wrong_variables_leave_traces_off_with_one_line(
    more: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} | more).items():
        monkeypatch.setenv(name, value)
    with structlog.testing.capture_logs() as lines, tracing("ingest") as traces:
        assert traces is None
    (line,) = lines
    assert line["event"] == "traces_off"
    assert reason in line["reason"]


def test_a_process_is_named_by_its_service_unless_the_variables_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource_of("query").attributes["service.name"] == "turnlog-query"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=memory,deployment.environment.name=prod")
    assert resource_of("query").attributes["service.name"] == "memory"
    assert resource_of("query").attributes["deployment.environment.name"] == "prod"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    assert resource_of("query").attributes["service.name"] == "mine"


def test_a_name_given_to_up_tells_its_processes_apart(tmp_path: Path) -> None:
    plan = Plan(tmp_path, SharedSettings(), 0)
    given = {"OTEL_SERVICE_NAME": "memory", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    orders = [_order(name, given, plan, None).environment for name in MODULES]
    assert [order["OTEL_SERVICE_NAME"] for order in orders] == ["memory-api", "memory-projector", "memory-compressor"]
    assert all(order["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://c:4318" for order in orders)
    assert "OTEL_SERVICE_NAME" not in _order("api", {}, plan, None).environment


def event(position: int, trace: str | None, age_s: float = 1.0) -> Event:
    recorded_at_us = int((NOW_S - age_s) * 1e6)
    return Event(
        *("main", position, "e", "t", "s", position, "MemoryTurnStored", 1, f"k{position}", recorded_at_us),
        *(None, None, trace, b"{}", b"", "", b""),
    )


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "console, otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_on_where_an_endpoint_is_set(environment: dict[str, str], on: bool) -> None:
    assert wanted(environment) is on


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
    ],
)
def test_what_cannot_be_done_is_said_by_the_name_of_its_variable(environment: dict[str, str], named: str) -> None:
    with pytest.raises(NotUsable, match=named):
        wanted(environment)


@pytest.mark.parametrize(
    ("variables", "module"),
    [({}, "turnlog_cli.api"), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}, "turnlog_ingest.__main__")],
)
def test_without_an_endpoint_nothing_that_makes_or_sends_spans_is_imported(
    variables: dict[str, str], module: str
) -> None:
    # redis-py imports the metrics of an SDK that it finds installed; of traces nothing may be there.
    code = (
        f"import sys, {module}\n"
        "from turnlog_tracing import tracing\n"
        "with tracing('x') as traces: assert traces is None\n"
        "print(sorted(n for n in sys.modules if n.startswith(('opentelemetry.sdk.trace', 'opentelemetry.exporter'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert ("traces_off" in done.stdout + done.stderr) == bool(variables)


@pytest.mark.parametrize(
    ("text", "good", "sampled"),
    [
        (PARENT, True, True),
        (PARENT[:-2] + "00", True, False),
        (PARENT[:-2] + "03", True, True),
        ("01" + PARENT[2:] + "-more", True, True),
        (PARENT + "-more", False, False),
        ("ff" + PARENT[2:], False, False),
        (PARENT.upper(), False, False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False, False),
        (f"00-{TRACE}-{'0' * 16}-01", False, False),
        ("", False, False),
        ("x" * 55, False, False),
    ],
)
def test_a_trace_context_is_read_as_its_specification_says(text: str, good: bool, sampled: bool) -> None:
    assert (parsed(text) is not None) is good
    assert is_sampled(text) is sampled


def test_a_trace_context_comes_back_as_it_was_written() -> None:
    span = parsed(PARENT, "vendor=1,other=2")
    assert span is not None
    assert written(span) == PARENT
    assert span.is_remote
    assert span.trace_state.to_header() == "vendor=1,other=2"
    assert not parsed(PARENT, "x" * 513).trace_state  # type: ignore[union-attr]


def test_a_request_that_names_two_parents_names_none() -> None:
    header = (b"traceparent", PARENT.encode())
    assert caller_of([header]) is not None
    assert caller_of([header, header]) is None
    assert caller_of([]) is None


def test_events_of_one_request_are_one_group() -> None:
    other = PARENT.replace("00f067", "11f067")
    events = [event(1, PARENT), event(2, None), event(3, PARENT), event(4, other), event(5, PARENT[:-2] + "00")]
    found = grouped(events, NOW_S)
    assert [(g.traceparent, g.first, g.last, g.count) for g in found] == [(PARENT, 1, 3, 2), (other, 4, 4, 1)]


def test_an_event_that_is_read_again_long_after_goes_on_with_no_trace() -> None:
    assert grouped([event(1, PARENT, FRESH_S + 1), event(2, PARENT, FRESH_S - 1)], NOW_S)[0].first == 2
    assert grouped([event(1, PARENT, -30)], NOW_S), "the clock of PostgreSQL may be ahead"


@pytest.mark.parametrize(
    ("url", "ours"),
    [("http://localhost:1", True), ("http://127.9.0.1", True), ("http://[::1]:4318/v1", True), ("http://c", False)],
)
def test_no_proxy_stands_before_this_machine(url: str, ours: bool) -> None:
    assert is_this_machine(url) is ours


class Spans:
    """Traces that stay in this process."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("t")
        self.traces = Traces(self.tracer)

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def spans() -> Iterator[Spans]:
    found = Spans()
    yield found
    found.provider.shutdown()


def test_what_messages_carry_is_kept_within_bounds(spans: Spans) -> None:
    bus = BusSpans(spans.tracer)
    carried = PARENT.replace("00f067", "22f067")
    for position in range(1, KEPT_MAX + 1):
        bus.received("main", position, {"traceparent": carried})
    bus.received("main", KEPT_MAX + 1, {})
    assert bus.carried(event(7, PARENT)) == carried
    bus.forget("main", 7)
    assert bus.carried(event(7, PARENT)) == PARENT
    assert bus.carried(event(8, PARENT)) == carried
    for position in range(KEPT_MAX + 2, KEPT_MAX + 10):
        bus.received("main", position, {"traceparent": carried})
    assert bus.carried(event(8, PARENT)) == PARENT
    assert bus.carried(event(KEPT_MAX + 9, PARENT)) == carried


def test_an_append_that_was_never_sent_has_no_span_and_one_that_failed_has(spans: Spans) -> None:
    class Request:
        events = (event(1, PARENT),)

    class Unmet(Exception):
        pass

    asked: Any = [Request()]
    with pytest.raises(Unmet), spans.traces.store.appending("main", asked):
        raise Unmet
    assert spans.ended == ()
    with spans.traces.store.appending("main", asked) as told:
        told(TimeoutError("what it says may hold anything"))
    (span,) = spans.ended
    assert dict(span.attributes or {})["error.type"] == "TimeoutError"
    assert span.status.description is None


async def answered(
    traces: Traces, headers: list[tuple[bytes, bytes]], app: Any, path: str = "/v1/sessions/s/turns", **more: bool
) -> None:
    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "scheme": "http"}
    await traces.http(app, **more)(scope, send, send)  # type: ignore[arg-type]


async def test_log_lines_of_a_traced_request_name_its_trace(spans: Spans) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        seen.append(dict(add_trace(None, "", {})))
        await send({"type": "http.response.start", "status": 503, "headers": []})

    await answered(spans.traces, [(b"traceparent", PARENT.encode())], app)
    await answered(spans.traces, [(b"traceparent", PARENT[:-1].encode() + b"0")], app)
    (span,) = spans.ended
    assert span.context is not None
    assert seen[0]["trace_id"] == TRACE
    assert seen[0]["span_id"] == f"{span.context.span_id:016x}"
    assert "trace_id" not in seen[1]
    assert "trace_id" not in add_trace(None, "", {})
    assert dict(span.attributes or {})["error.type"] == "503"


@pytest.mark.parametrize(
    ("path", "name", "session"),
    [
        ("/v1/sessions/trip/turns", "POST /v1/sessions/{session_id}/turns", "trip"),
        ("/v1/sessions/~agent.x", "POST /v1/sessions/{session_id}", "~agent.x"),
        ("/v1/sessions/a secret/turns", "POST /v1/sessions/{session_id}/turns", None),
        ("/v1/tasks/t", "POST /v1/tasks/{task_id}", None),
        ("/v1/secret", "POST", None),
    ],
)
async def test_a_span_is_named_by_its_route_and_never_by_what_may_hold_anything(
    path: str, name: str, session: str | None, spans: Spans
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    await answered(spans.traces, [], app, path=path)
    (span,) = spans.ended
    assert span.name == name
    assert dict(span.attributes or {}).get("gen_ai.conversation.id") == session
    assert "secret" not in span.to_json()


async def test_an_app_that_breaks_ends_its_span_by_the_kind_of_error(spans: Spans) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("somebody's secret")

    with pytest.raises(ValueError, match="secret"):
        await answered(spans.traces, [], app)
    (span,) = spans.ended
    assert "secret" not in span.to_json()
    assert dict(span.attributes or {})["error.type"] == "ValueError"


async def test_a_trace_that_is_not_recorded_is_handed_on_only_where_asked() -> None:
    spans = Spans(sampler=ParentBased(ALWAYS_OFF))
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])

    await answered(spans.traces, [], app)
    await answered(spans.traces, [], app, hand_on_unsampled=True)
    assert seen[0] == []
    ((name, value),) = seen[1]
    assert name == b"traceparent"
    assert parsed(value.decode()) is not None
    assert not is_sampled(value.decode())
    spans.provider.shutdown()


async def test_a_stream_of_events_is_over_for_its_span_when_it_begins(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    over: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        over.append(len(spans.ended))

    await answered(spans.traces, [], app)
    assert over == [1]
    assert len(spans.ended) == 1
    assert caplog.records == []
