"""One trace shows a turn from the call to Redis: a whole system of processes, and a collector that speaks OTLP/HTTP."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest

from collector import Collector, Seen, collector, drawn
from model_server import TOKENS_IN, TOKENS_OUT, ModelServer, model_server
from scraping import scrape
from system import System, until
from turnlog_bus import StreamName
from turnlog_eventstore import Store

SECRET = "The-launch-code-is-8472"
SUMMARY = "[1] The traveller flies to Lisbon."
CLIENT_SPAN = "00f067aa0ba902b7"
ALLOWED = {
    *("db.operation.batch.size", "db.operation.name", "db.query.summary", "db.stored_procedure.name", "db.system.name"),
    *("error.type", "gen_ai.conversation.id", "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"),
    *("gen_ai.request.max_tokens", "gen_ai.request.stream", "gen_ai.response.model"),
    *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
    *("http.request.method", "http.response.status_code", "http.route", "url.scheme", "server.address", "server.port"),
    *("messaging.batch.message_count", "messaging.consumer.group.name", "messaging.destination.name"),
    *("messaging.operation.name", "messaging.operation.type", "messaging.system"),
    *("turnlog.batch.events", "turnlog.batch.requests", "turnlog.compression.reason", "turnlog.duplicates"),
    *("turnlog.events", "turnlog.hit", "turnlog.log", "turnlog.position", "turnlog.position.last", "turnlog.stream"),
    *("turnlog.version", "turnlog.rejected"),
}
"""All that a span may say. A new attribute is to be looked at: may it hold what somebody stored?"""

POST = "POST /v1/sessions/{session_id}/turns"
TURN = (POST, "append", "publish main", "process main", "FCALL apply")
"""Each process sends its spans when it likes: what to wait for."""


@dataclass(frozen=True)
class Traced:
    """A system that sends its traces, and who receives them."""

    system: System
    collector: Collector
    model: ModelServer
    key: str

    def call(self, method: str, path: str, trace_id: str = "", flags: str = "01", **more: Any) -> httpx.Response:
        """One request of a client that is itself traced, unless `trace_id` is empty."""
        parent = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"} if trace_id else {}
        headers = {"authorization": f"Bearer {self.key}", **parent, **more.pop("headers", {})}
        return httpx.request(method, self.system.url + path, headers=headers, timeout=30, trust_env=False, **more)

    def warm_up(self) -> None:
        """Store turns until the projector has one from NATS: the first write of a process learns what later ones know,
        and the first batches of a follower come from PostgreSQL."""

        def from_nats() -> bool:
            self.post(f"warm-{fresh()[:8]}")
            labels = {"consumer": "projector", "source": "nats"}
            return scrape(self.system.url).value("turnlog_follower_events_total", **labels) > 0

        until(from_nats, "the projector takes events from NATS")

    def post(self, session: str, trace_id: str = "", flags: str = "01", content: str = SECRET) -> httpx.Response:
        """Store a turn."""
        body = {"role": "user", "content": content, "user_id": "u-8472", "metadata": {"code": SECRET}}
        answer = self.call("POST", f"/v1/sessions/{session}/turns", trace_id, flags, json=body)
        assert answer.status_code == 201, answer.text
        return answer


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    folder = Path(tempfile.mkdtemp(prefix="turnlog-traces-"))
    with collector() as seen, model_server() as model:
        model.answers = [SUMMARY]
        system = System(
            folder / "data",
            TURNLOG_AUTH="required",
            TURNLOG_MODEL_PROVIDER="openai",
            TURNLOG_MODEL_NAME="small-1",
            TURNLOG_MODEL_BASE_URL=model.url,
            TURNLOG_COMPRESS_TURNS="4",
            TURNLOG_COMPRESS_TAIL_TURNS="1",
            TURNLOG_COMPRESS_IDLE_TURNS="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=seen.url,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_BSP_SCHEDULE_DELAY="50",
        ).start()
        try:
            found = Traced(system, seen, model, system.event("first_key")["key"])
            found.warm_up()
            yield found
        finally:
            system.stop()
            shutil.rmtree(folder, ignore_errors=True)


def fresh() -> str:
    return uuid.uuid4().hex


def one(spans: list[Seen], name: str) -> Seen:
    """The only span of this name."""
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, drawn(spans)
    return found[0]


def has(*names: str) -> Callable[[list[Seen]], bool]:
    """Whether spans of all these names are there."""
    return lambda spans: set(names) <= {span.name for span in spans}


def within(inner: Seen, outer: Seen) -> bool:
    return outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns


async def test_one_trace_shows_a_turn_from_the_call_to_redis(traced: Traced) -> None:
    trace, session = fresh(), f"trip-{fresh()[:8]}"
    answer = traced.post(session, trace).json()

    spans = traced.collector.wait(trace, has(*TURN))
    served, append, publish = one(spans, POST), one(spans, "append"), one(spans, "publish main")
    process, write = one(spans, "process main"), one(spans, "FCALL apply")
    assert len(spans) == 5, drawn(spans)

    assert [s.kind for s in (served, append, publish, process, write)] == [
        "SERVER",
        "CLIENT",
        "PRODUCER",
        "CONSUMER",
        "CLIENT",
    ]
    parents = {"": CLIENT_SPAN, "append": served, "publish": served, "process": publish, "write": process}
    found = {"": served, "append": append, "publish": publish, "process": process, "write": write}
    for name, span in found.items():
        parent = parents[name]
        assert span.parent_id == (parent if isinstance(parent, str) else parent.span_id), drawn(spans)
    assert [s.service for s in (served, append, publish)] == ["turnlog-api"] * 3
    assert [s.service for s in (process, write)] == ["turnlog-projector"] * 2

    assert within(append, served)
    assert within(write, process)
    assert append.end_ns <= publish.start_ns
    assert publish.start_ns <= process.start_ns
    assert not any(span.failed or span.status_text for span in spans)

    assert served.attributes["http.route"] == "/v1/sessions/{session_id}/turns"
    assert served.attributes["http.response.status_code"] == 201
    assert served.attributes["gen_ai.conversation.id"] == session
    assert append.attributes["db.system.name"] == "postgresql"
    assert append.attributes["turnlog.batch.requests"] == 1
    assert publish.attributes["messaging.system"] == "nats"
    assert write.attributes["db.system.name"] == "redis"
    for span in (append, publish, process, write):
        assert span.attributes["turnlog.position"] == answer["position"]
    assert append.attributes["turnlog.version"] == answer["version"] == 1

    assert await carried_by_message(traced.system, answer["position"]) == f"00-{trace}-{publish.span_id}-01"


async def carried_by_message(system: System, position: int) -> str | None:
    """The `traceparent` of the message in the stream."""
    addresses = system.addresses()
    store = await Store.open(addresses["database_url"])
    client = await nats.connect(addresses["nats_url"])
    try:
        stream = StreamName("main", (await store.head("main")).incarnation).stream
        return ((await client.jetstream().get_msg(stream, position)).headers or {}).get("traceparent")
    finally:
        await client.close()
        await store.close()


async def test_the_event_remembers_the_span_that_stored_it(traced: Traced) -> None:
    trace, session = fresh(), f"kept-{fresh()[:8]}"
    position = traced.post(session, trace).json()["position"]
    served = one(traced.collector.wait(trace, has(*TURN)), POST)
    listed = traced.call("GET", f"/v1/logs/main/events?after={position - 1}&limit=1").json()["events"]
    assert [event["trace"] for event in listed] == [f"00-{trace}-{served.span_id}-01"]


def test_many_turns_of_one_request_share_their_spans(traced: Traced) -> None:
    trace, session = fresh(), f"many-{fresh()[:8]}"
    turns = [{"role": "user", "content": f"{SECRET} {number}"} for number in range(3)]
    traced.call("POST", f"/v1/sessions/{session}/turns", trace, json={"turns": turns})

    def whole(spans: list[Seen]) -> bool:
        """Messages may come to the projector in more than one batch."""
        processed = [s.attributes["messaging.batch.message_count"] for s in spans if s.name == "process main"]
        return has(*TURN)(spans) and sum(processed) == 3

    spans = traced.collector.wait(trace, whole)
    assert one(spans, "append").attributes["turnlog.events"] == 3
    publish = one(spans, "publish main").attributes
    assert publish["messaging.batch.message_count"] == 3
    assert publish["turnlog.position.last"] - publish["turnlog.position"] == 2


def test_a_caller_that_does_not_record_gives_no_spans_anywhere(traced: Traced) -> None:
    unseen, seen = fresh(), fresh()
    session = f"quiet-{fresh()[:8]}"
    traced.post(session, unseen, flags="00")
    traced.call("POST", f"/v1/sessions/{session}/compress", unseen, flags="00")
    traced.call("GET", f"/v1/sessions/{session}/turns", unseen, flags="00")
    traced.post(session, seen)
    traced.call("POST", f"/v1/sessions/{session}/compress", seen)
    traced.collector.wait(seen, has(*TURN, "compress", "chat small-1"))
    assert traced.collector.trace(unseen) == []


def test_a_compression_asked_for_is_one_trace_with_the_models_call(traced: Traced) -> None:
    session, trace = f"asked-{fresh()[:8]}", fresh()
    traced.post(session)
    traced.call("POST", f"/v1/sessions/{session}/compress", trace)

    def whole(spans: list[Seen]) -> bool:
        return (
            has("POST /v1/sessions/{session_id}/compress", "compress", "chat small-1", "append")(spans)
            and all(
                len([s for s in spans if s.name == name]) == 2 for name in ("append", "publish main", "process main")
            )
            and any(s.name == "FCALL apply" and s.start_ns > one(spans, "chat small-1").end_ns for s in spans)
        )

    spans = traced.collector.wait(trace, whole)
    served, job, chat = (
        one(spans, name) for name in ("POST /v1/sessions/{session_id}/compress", "compress", "chat small-1")
    )
    assert job.parent_id == served.span_id
    assert job.service == chat.service == "turnlog-compressor"
    assert chat.parent_id == job.span_id
    assert chat.kind == "CLIENT"
    assert within(chat, job)
    known = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "small-1",
        "gen_ai.response.model": "served-1",
        "gen_ai.usage.input_tokens": TOKENS_IN,
        "gen_ai.usage.output_tokens": TOKENS_OUT,
        "gen_ai.conversation.id": session,
    }
    assert known.items() <= chat.attributes.items()
    stored = [s for s in spans if s.name == "append" and s.parent_id == job.span_id]
    published = [s for s in spans if s.name == "publish main" and s.parent_id == job.span_id]
    assert len(stored) == len(published) == 1, drawn(spans)
    assert [s.service for s in (*stored, *published)] == ["turnlog-compressor", "turnlog-api"]
    assert "traceparent" not in traced.model.headers[-1], "a model's server is a stranger"


def test_a_summary_nobody_asked_for_has_a_trace_of_its_own_with_links(traced: Traced) -> None:
    session, traces = f"unasked-{fresh()[:8]}", [fresh() for _ in range(5)]
    for trace in traces:
        traced.post(session, trace)
    stored = {(trace, one(traced.collector.wait(trace, has(POST)), POST).span_id) for trace in traces}

    def made() -> list[Seen]:
        spans = [s for s in list(traced.collector.spans) if s.name == "compress"]
        return [s for s in spans if s.attributes["gen_ai.conversation.id"] == session and s.links]

    job = until(made, "a compression with links")[0]
    assert job.parent_id == ""
    assert job.attributes["turnlog.compression.reason"] == "turns"
    assert len(job.links) >= 4
    assert set(job.links) <= stored
    traced.collector.wait(job.trace_id, has("chat small-1", "append", "publish main", "process main", "FCALL apply"))


def test_a_model_that_refuses_is_an_error_of_its_span_only(traced: Traced) -> None:
    session, trace = f"refused-{fresh()[:8]}", fresh()
    traced.post(session)
    traced.model.answers = [401]
    try:
        traced.call("POST", f"/v1/sessions/{session}/compress", trace)
        spans = traced.collector.wait(trace, has("compress", "chat small-1", "FCALL apply"))
    finally:
        traced.model.answers = [SUMMARY]
    chat = one(spans, "chat small-1")
    assert chat.failed
    assert chat.attributes["error.type"] == "unauthorized"
    assert not one(spans, "compress").failed


def test_reads_show_who_answered(traced: Traced) -> None:
    session = f"read-{fresh()[:8]}"
    trace = fresh()
    version = traced.post(session, trace).json()["version"]
    traced.collector.wait(trace, has(*TURN))
    trace = fresh()
    answer = traced.call("GET", f"/v1/sessions/{session}/turns?limit=5", trace)
    assert [turn["version"] for turn in answer.json()["turns"]] == [version]
    spans = traced.collector.wait(trace, has("GET /v1/sessions/{session_id}/turns"))
    served, look = one(spans, "GET /v1/sessions/{session_id}/turns"), one(spans, "FCALL_RO turns")
    assert look.parent_id == served.span_id
    assert within(look, served)
    assert look.attributes["turnlog.hit"] is True

    trace = fresh()
    assert traced.call("GET", f"/v1/sessions/none-{fresh()[:8]}/turns", trace).status_code == 404
    spans = traced.collector.wait(trace, has("GET /v1/sessions/{session_id}/turns"))
    assert one(spans, "FCALL_RO turns").attributes["turnlog.hit"] is False
    asked = [s for s in spans if s.attributes.get("db.system.name") == "postgresql"]
    assert asked, drawn(spans)
    assert {s.parent_id for s in asked} == {one(spans, "GET /v1/sessions/{session_id}/turns").span_id}


def test_a_path_that_is_no_route_names_nothing(traced: Traced) -> None:
    trace = fresh()
    assert traced.call("GET", f"/v1/{SECRET}", trace).status_code == 404
    (span,) = traced.collector.wait(trace, has("GET"))
    assert "http.route" not in span.attributes
    assert not span.failed


def test_what_an_agent_does_over_mcp_is_in_its_trace(traced: Traced) -> None:
    trace, session = fresh(), f"mcp-{fresh()[:8]}"
    arguments = {"message": SECRET, "session_id": session, "role": "user", "agent_id": "a"}
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "store_memory", "arguments": arguments},
    }
    accept = {"accept": "application/json, text/event-stream"}
    assert traced.call("POST", "/mcp", trace, json=call, headers=accept).status_code == 200
    spans = traced.collector.wait(trace, has(*TURN, "create_memory", "POST /mcp"))
    mcp, memory, stored = one(spans, "POST /mcp"), one(spans, "create_memory"), one(spans, POST)
    assert [mcp.parent_id, memory.parent_id, stored.parent_id] == [CLIENT_SPAN, mcp.span_id, memory.span_id]
    assert memory.attributes["gen_ai.operation.name"] == "create_memory"


def test_nothing_that_was_stored_or_shown_is_in_what_was_sent(traced: Traced) -> None:
    """Last in this file: all that the tests before made the system send."""
    sent = b"".join(traced.collector.raw)
    assert len(traced.collector.spans) > 50
    for secret in (SECRET, "8472", "Lisbon", traced.key, traced.key[-20:]):
        assert secret.encode() not in sent, secret
    assert {name for span in traced.collector.spans for name in span.attributes} <= ALLOWED
    assert not any(span.status_text for span in traced.collector.spans)
    assert all(headers["content-encoding"] == "gzip" for headers in traced.collector.headers)
