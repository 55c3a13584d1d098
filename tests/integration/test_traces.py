"""Traces across replicas, and with collectors that are away, silent, broken or elsewhere: real processes."""

import asyncio
import contextlib
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from collector import Collector, Seen, collector, drawn
from conftest import RealServers
from making import new_log
from rolling import Replica, free_port

POST = "POST /v1/sessions/{session_id}/turns"
SECRET = "The-launch-code-is-8472"
PATIENCE_S = 2.0
"""The longest a request may take on a machine that does a lot besides; a collector's time-outs are longer."""
END_S = 8.0
"""The longest a process may take to end: requests are still taken for 0.3 s, spans are sent for 2 s."""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="turnlog-traces-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def receiver() -> Iterator[Collector]:
    with collector() as found:
        yield found


def settings(servers: RealServers, log: str, endpoint: str, **more: str) -> dict[str, str]:
    return {
        "TURNLOG_DATABASE_URL": servers.dsn,
        "TURNLOG_NATS_URL": servers.nats_url,
        "TURNLOG_REDIS_URL": servers.redis_url,
        "TURNLOG_LOG": log,
        "TURNLOG_LOGS": log,
        "TURNLOG_DATABASE_CONNECTIONS": "4",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }


@asynccontextmanager
async def ingest(name: str, folder: Path, environment: dict[str, str]) -> AsyncIterator[Replica]:
    """An ingest replica whose spans name it."""
    replica = Replica("turnlog_ingest", environment | {"OTEL_SERVICE_NAME": name}, folder / f"{name}.log")
    try:
        yield await replica.start()
    finally:
        await replica.kill()


@asynccontextmanager
async def projector(folder: Path, environment: dict[str, str]) -> AsyncIterator[Replica]:
    """A projector that serves its readiness."""
    port = free_port()
    replica = Replica(
        "turnlog_projector", environment | {"TURNLOG_METRICS_PORT": str(port)}, folder / "projector.log", port
    )
    try:
        yield await replica.start()
    finally:
        await replica.kill()


async def stored(replica: Replica, trace: str = "", session: str = "") -> float:
    """Store a turn; how long that took, in seconds."""
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} if trace else {}
    path = f"/v1/sessions/{session or uuid.uuid4().hex}/turns"
    async with httpx.AsyncClient(base_url=replica.url, trust_env=False, timeout=30) as http:
        began = time.monotonic()
        answer = await http.post(path, json={"role": "user", "content": SECRET}, headers=headers)
        took_s = time.monotonic() - began
    assert answer.status_code == 201, answer.text
    return took_s


async def whole(receiver: Collector, trace: str, *names: str) -> dict[str, Seen]:
    """The spans of a trace by name, once these are there, and no others but the asking for a tenant's log."""
    found = await asyncio.to_thread(receiver.wait, trace, lambda found: set(names) <= {s.name for s in found})
    spans = [span for span in found if span.name != "tenant_log"]
    assert len(spans) == len(names), drawn(spans)
    return {span.name: span for span in spans}


async def until_leads(*candidates: Replica) -> tuple[Replica, Replica]:
    """Who relays, and who does not."""
    async with asyncio.timeout(20):
        while not (leaders := [r for r in candidates if "relay_leading" in r.log()]):
            await asyncio.sleep(0.05)
    (leader,) = leaders
    return leader, next(r for r in candidates if r is not leader)


async def test_a_trace_goes_on_where_another_replica_publishes(
    servers: RealServers, folder: Path, receiver: Collector
) -> None:
    log = await new_log(servers.owner_dsn)
    environment = settings(servers, log, receiver.url)
    async with (
        ingest("ingest-a", folder, environment) as one,
        ingest("ingest-b", folder, environment) as other,
        projector(folder, environment),
    ):
        leader, follower = await until_leads(one, other)
        for replica in (leader, follower, leader):
            trace = uuid.uuid4().hex
            await stored(replica, trace)
            names = (POST, "append", f"publish {log}", f"process {log}", "FCALL apply")
            spans = await whole(receiver, trace, *names)
            taken_by = replica.log_path.stem
            assert [spans[name].service for name in names[:3]] == [taken_by, taken_by, leader.log_path.stem]
            parents = [spans[name].parent_id for name in names[1:]]
            served, publish, process = (spans[names[number]].span_id for number in (0, 2, 3))
            assert parents == [served, served, publish, process]


async def test_a_trace_goes_on_from_postgresql_where_there_is_no_nats(
    servers: RealServers, folder: Path, receiver: Collector
) -> None:
    log = await new_log(servers.owner_dsn)
    environment = settings(servers, log, receiver.url)
    polling = {name: value for name, value in environment.items() if name != "TURNLOG_NATS_URL"}
    async with ingest("ingest-a", folder, environment) as replica, projector(folder, polling):
        trace = uuid.uuid4().hex
        await stored(replica, trace)
        spans = await whole(receiver, trace, POST, "append", f"publish {log}", f"process {log}", "FCALL apply")
        assert spans[f"process {log}"].parent_id == spans[POST].span_id
        assert spans[f"process {log}"].attributes["messaging.system"] == "postgresql"


async def test_requests_that_share_a_transaction_have_a_span_each(
    servers: RealServers, folder: Path, receiver: Collector
) -> None:
    log = await new_log(servers.owner_dsn)
    async with ingest("ingest-a", folder, settings(servers, log, receiver.url)) as replica:
        await stored(replica)
        traces = [uuid.uuid4().hex for _ in range(30)]
        await asyncio.gather(*(stored(replica, trace) for trace in traces))
        found = [await whole(receiver, trace, POST, "append", f"publish {log}") for trace in traces]
    sizes = [spans["append"].attributes["turnlog.batch.requests"] for spans in found]
    assert max(sizes) > 1
    assert all(spans["append"].parent_id == spans[POST].span_id for spans in found)
    positions = {spans["append"].attributes["turnlog.position"] for spans in found}
    assert positions == set(range(2, 32))


def spans_by_outcome(text: str) -> dict[str, float]:
    """What became of a process's spans, from its metrics."""
    return {
        outcome: float(n)
        for outcome, n in re.findall(r'^turnlog_trace_spans_total\{outcome="(\w+)"\} (\S+)', text, re.M)
    }


async def counted(replica: Replica, outcome: str) -> float:
    """Wait until a span has this outcome."""
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=replica.url, trust_env=False) as http:
        while not (found := spans_by_outcome((await http.get("/metrics")).text).get(outcome)):
            await asyncio.sleep(0.1)
    return found


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """An address at which connections are neither taken nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
        for connection in waiting:
            connection.close()


@contextlib.contextmanager
def broken(kind: str) -> Iterator[str]:
    """The address of a collector that is of no use in this way."""
    if kind == "refuses":
        yield f"http://127.0.0.1:{free_port()}"
    elif kind == "takes no connection":
        with blackhole() as url:
            yield url
    else:
        with collector() as found:
            found.answer = {
                "never answers": found.silence,
                "answers 500": lambda: 500,
                "answers 400": lambda: 400,
                "has moved": lambda: 307,
            }[kind]
            yield found.url


@pytest.mark.parametrize(
    "kind", ["refuses", "takes no connection", "never answers", "answers 500", "answers 400", "has moved"]
)
async def test_a_collector_of_no_use_costs_no_request_anything(kind: str, servers: RealServers, folder: Path) -> None:
    log = await new_log(servers.owner_dsn)
    bounds = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
        "OTEL_BSP_MAX_QUEUE_SIZE": "64",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64",
    }
    with broken(kind) as url:
        async with ingest("ingest-a", folder, settings(servers, log, url, **bounds)) as replica:
            await stored(replica)
            took_s = [await stored(replica) for _ in range(40)]
            assert max(took_s) < PATIENCE_S
            await counted(replica, "failed")
            began = time.monotonic()
            replica.terminate()
            assert await replica.ended() == 0
            assert time.monotonic() - began < END_S
            said = replica.log()
    assert said.count("traces_not_sent") == 1
    assert "Traceback" not in said
    assert "opentelemetry" not in said
    assert "8472" not in said
    lines = said.count("\n")
    assert lines < 20, said


async def test_a_collector_that_pauses_loses_spans_and_nothing_else(
    servers: RealServers, folder: Path, receiver: Collector
) -> None:
    log = await new_log(servers.owner_dsn)
    bounds = {
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_BSP_MAX_QUEUE_SIZE": "32",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
    }
    async with ingest("ingest-a", folder, settings(servers, log, receiver.url, **bounds)) as replica:
        before, after = uuid.uuid4().hex, uuid.uuid4().hex
        await stored(replica, before)
        await whole(receiver, before, POST, "append", f"publish {log}")
        receiver.answer = receiver.silence
        took_s = [await stored(replica) for _ in range(40)]
        assert max(took_s) < PATIENCE_S
        await counted(replica, "dropped")
        await counted(replica, "failed")
        receiver.answer = lambda: 200
        async with asyncio.timeout(30):  # what waits is still given up, batch by batch
            while not receiver.trace(after):
                await stored(replica, after, "again")
                await asyncio.sleep(0.2)


async def test_what_waits_at_the_end_of_a_process_is_sent(
    servers: RealServers, folder: Path, receiver: Collector
) -> None:
    log = await new_log(servers.owner_dsn)
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    async with ingest("ingest-a", folder, settings(servers, log, receiver.url, **slow)) as replica:
        trace = uuid.uuid4().hex
        await stored(replica, trace)
        assert receiver.spans == []
        replica.terminate()
        assert await replica.ended() == 0
    assert POST in {span.name for span in receiver.trace(trace)}


async def test_a_share_of_traces_is_recorded_whole(servers: RealServers, folder: Path, receiver: Collector) -> None:
    log = await new_log(servers.owner_dsn)
    half = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    async with ingest("ingest-a", folder, settings(servers, log, receiver.url, **half)) as replica:
        for _ in range(40):
            await stored(replica)
        replica.terminate()
        await replica.ended()
    traces = {span.trace_id for span in receiver.spans}
    assert 5 < len(traces) < 35
    stored_whole = [{s.name for s in receiver.trace(trace)} >= {POST, "append"} for trace in traces]
    assert all(stored_whole)
    published = {span.trace_id for span in receiver.spans if span.name == f"publish {log}"}
    assert len(published) >= len(traces) - 1, "all but what the relay, told to end, had not reached"
