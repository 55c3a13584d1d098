"""The metrics and logs of a whole running system, under a load that is known: every metric is there, with the right
labels, and its value where it can be known."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from debian import tool
from metrics_catalogue import families
from model_server import TOKENS_IN, TOKENS_OUT, ModelServer, model_server
from scraping import Scrape, scrape
from system import System, until

SECRET = "Wombat-7319"
HOSTILE = f'{SECRET} "}}\n{{"event":"forged","level":"error"}} %s {{0}} \x1b[31m <script> \u202e \U0001f600'
TURNS = "/v1/sessions/{session_id}/turns"
LINT = ["memory_summary_tokens_total metric name should not include type 'summary'"]  # as it is about summaries
COMPRESSIONS = 4  # in an hour
PRICES = (2.0, 10.0)  # dollars for a million tokens


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


@pytest.fixture(scope="module")
def system(model: ModelServer) -> Iterator[System]:
    """A system that asks our model, logs everything, and lets each tenant ask for few compressions."""
    folder = Path(tempfile.mkdtemp(prefix="turnlog-metrics-"))
    running = System(
        folder / "data",
        TURNLOG_LOG_LEVEL="debug",
        TURNLOG_LIMIT_TENANT_COMPRESSIONS_PER_HOUR=str(COMPRESSIONS),
        TURNLOG_MODEL_PROVIDER="openai",
        TURNLOG_MODEL_NAME="test-1",
        TURNLOG_MODEL_BASE_URL=model.url,
        TURNLOG_MODEL_API_KEY="sk-" + SECRET,
        TURNLOG_MODEL_ATTEMPTS="1",
        TURNLOG_MODEL_INPUT_PRICE=str(PRICES[0]),
        TURNLOG_MODEL_OUTPUT_PRICE=str(PRICES[1]),
        TURNLOG_BREAKER_FAILURES="2",
        TURNLOG_RECENT_TURNS="20",
        PROMETHEUS_MULTIPROC_DIR="/nowhere",  # the user's own: not ours to use, and not to be wiped
    ).start()
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Caller:
    """Calls the API, and notes what it was answered, as the metrics should."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self.noted: dict[tuple[str, str, str], int] = {}

    def __call__(self, method: str, path: str, route: str, status: int, **more: Any) -> httpx.Response:
        """Call, and check the status."""
        answer = self._http.request(method, path, **more)
        assert answer.status_code == status, answer.text
        self.note(method, route, status)
        return answer

    def close(self) -> None:
        """End its connections."""
        self._http.close()

    def note(self, method: str, route: str, status: int) -> None:
        """A call was answered like this."""
        key = (method, route, str(status))
        self.noted[key] = self.noted.get(key, 0) + 1

    def store(self, session: str, *ids: str, status: int = 201, **more: Any) -> httpx.Response:
        """Store turns of these ids in one request."""
        turns = [{"role": "user", "content": f"{HOSTILE} {key}", "turn_id": key} for key in ids]
        body = turns[0] if len(turns) == 1 else {"turns": turns}
        return self("POST", f"/v1/sessions/{session}/turns", TURNS, status, json=body, **more)

    def is_done(self, task: str) -> bool:
        """Whether a compression has ended well."""
        return bool(self("GET", f"/v1/tasks/{task}", "/v1/tasks/{task_id}", 200).json()["state"] == "done")

    def turns(self, session: str, status: int = 200, **query: Any) -> httpx.Response:
        """Read turns."""
        return self("GET", f"/v1/sessions/{session}/turns", TURNS, status, params=query)


@pytest.fixture(scope="module")
def call(system: System) -> Iterator[Caller]:
    caller = Caller(system.url)
    yield caller
    caller.close()


def settled(system: System, position: int) -> Scrape:
    """What the system says once everything up to a position was followed."""

    def quiet() -> Scrape | None:
        found = scrape(system.url)
        followed = found.value("turnlog_log_position", log="main") == position
        published = found.value("turnlog_relayed_events_total") >= position
        lags = [s.value for s in found.samples if s.name.endswith(("_lag_events", "_lag_seconds"))]
        return found if followed and published and len(lags) >= 8 and not any(lags) else None

    result: Scrape = until(quiet, "everything is followed", 40)
    return result


def requests_in(found: Scrape) -> dict[tuple[str, str, str], int]:
    """How often each answer was given, as the metrics have it."""
    samples = found.all("requests_total", service="api")
    return {(s.labels["method"], s.labels["route"], s.labels["status"]): int(s.value) for s in samples}


def summaries_in(system: System) -> int:
    with system.client() as client:
        return sum(event["type"] == "MemorySummarized" for event in client.log_events())


@contextmanager
def stopped(system: System, word: str) -> Iterator[None]:
    """A server that is there and does nothing, as one on a hung machine."""
    found = [system.find(word)]
    found += found[0].children(recursive=True)
    for process in found:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            with_luck(process)


def with_luck(process: psutil.Process) -> None:
    if process.is_running():
        process.send_signal(signal.SIGCONT)


def test_an_idle_system_tells_of_all_its_processes_and_of_no_lag(system: System) -> None:
    until(lambda: scrape(system.url).value("turnlog_leader", log="main") == 3, "relay, projector and compressor lead")
    found = settled(system, 0)
    assert {s.labels["service"] for s in found.all("turnlog_build_info")} == {"api", "projector", "compressor"}
    leaders = {s.labels["role"]: s.value for s in found.all("turnlog_leader", log="main")}
    assert leaders == {"relay": 1, "projector": 1, "compressor": 1}
    assert found.value("turnlog_projector_partitions_unreadable", log="main") == 0
    assert {s.labels["dependency"]: s.value for s in found.all("turnlog_dependency_up", service="api")} == {
        "postgres": 1, "nats": 1, "redis": 1,
    }  # fmt: skip
    for reason in ("miss", "stale", "away", "beyond_window", "fresh"):
        assert [s.value for s in found.all("memory_read_fallbacks_total", reason=reason)] == [0]


def test_writes_are_counted_exactly(system: System, call: Caller) -> None:
    for number in range(30):
        call.store("trip", f"t{number}")
    for number in range(5):
        call.store("trip", f"t{number}")
    many = [f"m{number}" for number in range(7)]
    call.store("many", *many)
    call.store("many", *many)
    call("POST", "/v1/sessions/trip/turns", TURNS, 409, json={"role": "user", "content": "other", "turn_id": "t1"})
    call.store("trip", "late", status=412, headers={"if-match": '"v3"'})
    call("POST", "/v1/sessions/trip/turns", TURNS, 422, json={"role": SECRET, "content": HOSTILE})
    lines = [json.dumps({"session_id": f"bulk-{n}", "role": "user", "content": HOSTILE}) for n in range(9)] + [SECRET]
    call("POST", "/v1/turns", "/v1/turns", 200, content="\n".join(lines))
    memory = {"agent_id": "bot", "message": HOSTILE, "role": "user"}
    tool_call = call._http.post("/tools/store_memory", json=memory)
    call.note("POST", "/tools/store_memory", tool_call.status_code)
    assert tool_call.status_code == 200, tool_call.text
    call("DELETE", "/v1/sessions/trip/turns", TURNS, 200, params={"from_version": 1, "to_version": 1})
    found = settled(system, 30 + 7 + 9 + 1 + 1)
    assert found.value("memory_turns_stored_total", log="main") == 30 + 7 + 9 + 1
    assert found.value("memory_turns_duplicate_total", log="main") == 5 + 7
    assert found.value("turnlog_relayed_events_total") == 48
    assert found.value("turnlog_log_position", log="main") == 48
    for consumer in ("projector", "compressor"):
        assert found.value("turnlog_follower_events_total", log="main", consumer=consumer) == 48
    assert found.value("projector_events_applied_total", log="main") == 48
    asked = 30 + 5 + 2 + 1 + 1 + 9 + 1 + 1  # all but what was refused before the append
    assert found.value("turnlog_append_wait_seconds_count") == asked
    commits = found.value("turnlog_append_commit_seconds_count")
    assert 10 < commits == found.value("turnlog_append_batch_events_count") <= asked
    assert found.value("turnlog_append_batch_events_sum") == asked + 2 * 6
    assert found.value("turnlog_append_queued_events", log="main") == 0


def test_reads_are_counted_by_who_answered_and_why(system: System, call: Caller) -> None:
    def delta(reason: str, read: Any, count: int = 1) -> None:
        before = scrape(system.url)
        for _ in range(count):
            read()
        after = scrape(system.url)

        def grew(name: str, **labels: str) -> float:
            return after.value(name, **labels) - before.value(name, **labels)

        hit = reason == "hit"
        assert grew("memory_reads_total", source="redis") == (count if hit else 0)
        assert grew("memory_reads_total", source="postgres") == (0 if hit else count)
        assert grew("memory_read_fallbacks_total") == (0 if hit else count)
        assert hit or grew("memory_read_fallbacks_total", reason=reason) == count

    delta("hit", lambda: call.turns("trip", limit=10), 6)
    delta("hit", lambda: call("GET", "/v1/sessions/trip/context", "/v1/sessions/{session_id}/context", 200))
    delta("fresh", lambda: call.turns("trip", fresh="true"), 2)
    delta("beyond_window", lambda: call.turns("trip", limit=29))
    delta("beyond_window", lambda: call.turns("trip", before_version=5))
    delta("miss", lambda: call.turns("nobody", status=404), 3)
    delta("hit", lambda: call.turns("trip", limit=10, min_version=30))


def test_summaries_are_counted_with_what_they_cost_and_how_the_model_failed(
    system: System, call: Caller, model: ModelServer
) -> None:
    route = "/v1/sessions/{session_id}/compress"
    before = scrape(system.url)
    model.answers = [500, f"[1] A user said {SECRET}.", "no summary at all", 500]
    for number in range(COMPRESSIONS):
        session = f"short-{number}"
        call.store(session, *(f"{session}.{turn}" for turn in range(6)))
        task = call("POST", f"/v1/sessions/{session}/compress", route, 202).json()["task_id"]
        until(partial(call.is_done, task), "the compression ends")
    call("POST", "/v1/sessions/short-0/compress", route, 429)
    assert len(model.calls) == COMPRESSIONS

    found = settled(system, int(call("GET", "/v1/logs/main", "/v1/logs/{log}", 200).json()["position"]))
    assert found.value("turnlog_limits_refused_total") == 1
    assert {s.labels["outcome"]: s.value for s in found.all("llm_calls_total", provider="openai")} == {
        "ok": 1, "unusable": 1, "failed": 2, "cancelled": 0,
    }  # fmt: skip
    assert found.value("llm_call_seconds_count", provider="openai") == COMPRESSIONS
    assert {s.labels["kind"]: s.value for s in found.all("llm_errors_total", provider="openai")} == {
        "server_error": 2, "garbage": 1,
    }  # fmt: skip
    assert found.value("llm_tokens_total", direction="in") == 2 * TOKENS_IN
    assert found.value("llm_tokens_total", direction="out") == 2 * TOKENS_OUT
    dollars = 2 * (TOKENS_IN * PRICES[0] + TOKENS_OUT * PRICES[1]) / 1e6
    assert found.value("llm_cost_dollars_total", provider="openai") == pytest.approx(dollars)
    until(
        lambda: scrape(system.url).value("llm_breaker_state", provider="openai") == 2, "the breaker's state is told", 5
    )
    assert found.value("memory_compressions_total", reason="requested", outcome="done") == COMPRESSIONS
    made = "memory_compression_duration_seconds_count"
    assert found.value(made, outcome="fallback", model="extractive") == COMPRESSIONS - 1
    assert found.value(made, outcome="summarised", model="model") == 1
    summaries = summaries_in(system)
    assert summaries == found.value("memory_summaries_total") == COMPRESSIONS
    covered, texts = (found.value("memory_summary_tokens_total", direction=d) for d in ("in", "out"))
    assert covered > texts > 0
    assert found.value("memory_turns_stored_total") - before.value("memory_turns_stored_total") == 6 * COMPRESSIONS


def test_live_streams_are_counted_while_they_last(system: System, call: Caller) -> None:
    with httpx.stream("GET", f"{system.url}/v1/sessions/live/events", timeout=30) as stream:
        assert stream.status_code == 404  # no such session yet
    call.note("GET", "/v1/sessions/{session_id}/events", 404)
    call.store("live", "l0")
    with httpx.stream("GET", f"{system.url}/v1/sessions/live/events", timeout=30) as stream:
        call.note("GET", "/v1/sessions/{session_id}/events", 200)
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("id: 1"))
        found = scrape(system.url)
        assert found.value("memory_streams") == 1
        assert found.value("requests_in_progress", service="api") == 0
        call.store("live", "l1")
        next(line for line in lines if line.startswith("id: 2"))
    until(lambda: scrape(system.url).value("memory_streams") == 0, "the stream's end is noticed")
    found = settled(system, int(call("GET", "/v1/logs/main", "/v1/logs/{log}", 200).json()["position"]))
    assert found.value("turnlog_follower_events_total", consumer="streams") >= 1


def test_every_request_was_counted_once_under_its_route(system: System, call: Caller) -> None:
    call("GET", f"/{SECRET}?{SECRET}=1", "unmatched", 404)
    call("GET", f"/v1/sessions/{SECRET} x/turns", TURNS, 422)
    call("PUT", "/v1/sessions/trip/turns", TURNS, 405)
    call("GET", "/openapi.json", "/openapi.json", 200)
    hello = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
    call("POST", "/mcp", "/mcp", 200, json=hello, headers=accept)
    for path in ("/livez", "/readyz", "/metrics"):
        assert httpx.get(system.url + path).status_code == 200
    found = scrape(system.url)
    noted = dict(call.noted)
    for event_log in [key for key in requests_in(found) if key[1] == "/v1/logs/{log}/events"]:
        noted[event_log] = requests_in(found)[event_log]  # read through a client that pages
    assert requests_in(found) == noted
    for (method, route, status), count in noted.items():
        labels = {"service": "api", "method": method, "route": route, "status": status}
        assert found.value("requests_latency_seconds_count", **labels) == count
        assert found.value("requests_latency_seconds_bucket", le="+Inf", **labels) == count
    with socket.create_connection(httpx.URL(system.url).netloc.decode().split(":"), timeout=10) as raw:  # type: ignore[arg-type]
        raw.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert b" 400 " in raw.recv(4096)
    again = scrape(system.url)
    assert again.value("http_requests_refused_total") == 1
    assert requests_in(again) == noted


def test_what_is_shown_is_what_the_catalogue_says(system: System) -> None:
    found = scrape(system.url)
    known = {name: family for family in families() for name in family.samples}
    for sample in found.samples:
        family = known[sample.name]
        assert set(sample.labels) == set(family.labels) | ({"le"} if sample.name.endswith("_bucket") else set())
        assert SECRET not in str(sample.labels)
    shown = {known[sample.name].name for sample in found.samples}
    rare = {f.name for f in families()} - shown
    assert all(
        name.startswith(("projector_", "turnlog_credentials", "turnlog_jwks", "turnlog_trace")) for name in rare
    ), rare


def test_a_prometheus_that_asks_for_openmetrics_gets_the_same(system: System) -> None:
    answer = httpx.get(f"{system.url}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    open_metrics = {sample.name for family in openmetrics(answer.text) for sample in family.samples}
    assert open_metrics == {sample.name for sample in scrape(system.url).samples}


def test_prometheus_own_tool_finds_nothing_wrong(system: System) -> None:
    promtool = tool("promtool", ("prometheus",))
    checked = subprocess.run(
        [str(promtool), "check", "metrics"], input=scrape(system.url).text, capture_output=True, text=True, check=False
    )
    assert checked.stderr.splitlines() == LINT, checked.stderr
    assert not checked.stdout


def test_what_a_killed_process_said_of_its_present_goes_and_what_it_counted_stays(system: System, call: Caller) -> None:
    call.store("before-the-kill", "bk1")
    followed = {"consumer": "compressor"}
    until(lambda: scrape(system.url).value("turnlog_follower_events_total", **followed), "it has followed something")
    before = scrape(system.url)
    assert before.value("turnlog_leader", role="compressor") == 1
    system.find("turnlog_compressor").kill()
    present = ("turnlog_leader", "turnlog_follower_lag_events", "llm_breaker_state", "compressor_lag_events")

    def without() -> Scrape | None:
        found = scrape(system.url)
        return None if found.all("turnlog_build_info", service="compressor") else found

    gone: Scrape = until(without, "it is noticed")
    assert not gone.all(present[0], role="compressor")
    assert not gone.all(present[1], consumer="compressor")
    assert not gone.all(present[2])
    assert not gone.all(present[3])
    assert gone.all("turnlog_leader", role="projector")

    def counted(found: Scrape) -> dict[str, float]:
        names = [s.name for s in found.samples if s.name.startswith(("llm_", "memory_summar"))]
        return {name: found.value(name) for name in names if not name.startswith("llm_breaker")}

    assert counted(gone) == counted(before)
    until(lambda: scrape(system.url).value("turnlog_leader", role="compressor") == 1, "another one leads")
    back = scrape(system.url)
    assert counted(back) == counted(before)
    taken = [found.value("turnlog_follower_events_total", **followed) for found in (before, back)]
    assert taken[1] >= taken[0] > 0
    files = sorted(path.name for path in (system.folder / "metrics").iterdir())
    assert not [name for name in files if any(character.isdigit() for character in name)], "one file a name, not a pid"


def test_while_nats_is_away_the_relay_falls_behind_and_followers_do_not(system: System, call: Caller) -> None:
    with stopped(system, "nats-server"):
        for number in range(3):
            call.store("no-nats", f"n{number}")
        until(lambda: scrape(system.url).value("turnlog_relay_lag_events", log="main") == 3, "the relay is behind")
        first = scrape(system.url).value("turnlog_relay_lag_seconds", log="main")
        until(lambda: scrape(system.url).value("turnlog_relay_lag_seconds") >= first + 2, "it grows older")

        def followed() -> bool:
            found = scrape(system.url)
            return not any(found.value("turnlog_follower_lag_seconds", consumer=c) for c in ("projector", "compressor"))

        until(followed, "followers read PostgreSQL")
        assert scrape(system.url).value("turnlog_dependency_up", dependency="nats") == 0
    position = int(call("GET", "/v1/logs/main", "/v1/logs/{log}", 200).json()["position"])
    until(lambda: scrape(system.url).value("turnlog_relay_lag_seconds") == 0, "all is published", 60)
    assert scrape(system.url).value("turnlog_log_position") == position


def test_lags_go_on_growing_while_redis_and_then_postgres_are_away_too(system: System, call: Caller) -> None:
    lag = {"consumer": "projector", "log": "main"}
    with stopped(system, "valkey-server"):
        call.store("no-redis", "r0")
        call.store("no-redis", "r1")
        until(lambda: scrape(system.url).value("turnlog_follower_lag_events", **lag) == 2, "the projector is behind")
        unreadable = "turnlog_projector_partitions_unreadable"
        until(lambda: scrape(system.url).value(unreadable, log="main") == 256, "its failure is told")
        before = scrape(system.url)
        call.turns("trip", limit=5)
        after = scrape(system.url)
        away = [found.value("memory_read_fallbacks_total", reason="away") for found in (before, after)]
        assert away[1] == away[0] + 1
        with stopped(system, "bin/postgres"):
            first = scrape(system.url).value("turnlog_follower_lag_seconds", **lag)
            refused = httpx.post(
                f"{system.url}/v1/sessions/refused/turns",
                json={"role": "user", "content": HOSTILE},
                headers={"x-request-id": "refused-1"},
                timeout=30,
            )
            assert refused.status_code in (503, 504)
            seconds = "turnlog_follower_lag_seconds"
            until(lambda: scrape(system.url).value(seconds, **lag) >= first + 8, "it grows older than a lease")
            found = scrape(system.url)
            assert found.value("turnlog_follower_lag_events", **lag) == 2
            assert found.value("turnlog_dependency_up", dependency="postgres") == 0
            assert found.value("turnlog_dependency_up", dependency="redis") == 0

    def well() -> bool:
        found = scrape(system.url)
        lags = [s.value for s in found.samples if s.name.endswith("_lag_seconds")]
        leads = [s.value for s in found.all("turnlog_leader")]
        return not any(lags) and leads == [1, 1, 1] and found.value(unreadable) == 0

    until(well, "all is well again", 60)


def test_no_line_of_the_logs_holds_what_was_said_and_errors_carry_where_they_happened(system: System) -> None:
    texts = {path.stem: path.read_text() for path in (system.folder / "logs").glob("*.log")}
    ours = {name: texts[name] for name in ("api", "projector", "compressor")}
    for name, text in texts.items():
        assert SECRET not in text, f"{name}: {[line for line in text.splitlines() if SECRET in line][:3]}"
    lines = [json.loads(line) | {"of": name} for name, text in ours.items() for line in text.splitlines()]
    assert not [line for line in lines if not {"event", "level", "timestamp", "service"} <= line.keys()]
    assert not [line for line in lines if line["event"] == "forged"]

    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) > 100
    assert all(line["request_id"] and line["method"] and line["route"] for line in requests)
    refused = next(line for line in lines if line["event"] == "request_refused" and line["request_id"] == "refused-1")
    assert (refused["session_id"], refused["log"], refused["route"]) == ("refused", "main", TURNS)
    failed = [line for line in lines if line["event"] == "model_call_failed"]
    assert {line["session_id"] for line in failed} == {"short-0", "short-2", "short-3"}
    assert all(line["log"] == "main" and line["position"] > 0 for line in failed)
    behind = [line for line in lines if line["event"] == "projector_failed"]
    assert behind
    assert all(line["log"] == "main" for line in behind)
    assert any(line.get("position", 0) > 0 for line in behind)
    assert any(line["event"] == "relay_waits" and line["position"] > 0 for line in lines)


def test_with_a_port_of_their_own_metrics_are_not_on_the_public_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="turnlog-metrics-"))
    running = System(folder / "data", TURNLOG_METRICS_PORT=str(port)).start()
    try:
        public = httpx.get(f"{running.url}/metrics")
        assert (public.status_code, public.json()["error"]["code"]) == (404, "route_not_found")
        for path in ("/livez", "/readyz"):
            assert httpx.get(running.url + path).status_code == 200
        httpx.get(f"{running.url}/v1/sessions")
        url = f"http://127.0.0.1:{port}"
        services = {"api", "projector", "compressor"}

        def all_tell() -> bool:
            return {s.labels["service"] for s in scrape(url).all("turnlog_build_info")} == services

        until(all_tell, "all processes tell")
        assert scrape(url).value("requests_total", route="/v1/sessions", status="200") == 1
        assert httpx.get(f"{url}/readyz").json()["dependencies"]["postgres"] == "ok"
        assert httpx.get(f"{url}/v1/sessions").status_code == 404
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
