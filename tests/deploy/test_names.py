"""No rule and no panel names a metric or a label that does not exist: a real Prometheus with the real rules scrapes a
running system that stores, reads, summarises, refuses, and loses a server; then every expression is asked of it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from faults.model import ModelServer
from promql import Named, named_in
from real_prometheus import FOLDER, Prometheus, free_port, prometheus
from system import System, environment, until
from turnlog_client import Client

pytestmark = pytest.mark.timeout(300)
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "turnlog.json"
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}
WINDOW, SESSION = "30s", "observed"
ONLY_IN_TROUBLE = {
    "http_requests_refused_total",  # a request that is no HTTP
    "projector_rebuild_position",  # a release with other read models
    "projector_sessions_loaded_total",  # a session that is in Redis in part
}
"""Metrics of panels that may show nothing, because this test does not make what they count."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "turnlog-rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def targets() -> list[tuple[str, str, str]]:
    """(panel, expression with the variables that Grafana puts in, legend)."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [(panel["title"], target) for panel in panels for target in panel.get("targets", [])]
    return [(title, asked(target["expr"]), target["legendFormat"]) for title, target in found]


def asked(expression: str) -> str:
    replaced = expression.replace("$__rate_interval", WINDOW).replace("$log", ".*").replace("$service", ".*")
    assert "$" not in replaced, expression
    return replaced


class Observed:
    """Prometheus on a running system, what the replicas declare, and one of them: a projector that stands by."""

    def __init__(self, prometheus: Prometheus, declared: set[str], beside: "subprocess.Popen[bytes]") -> None:
        self.prometheus, self.declared, self.beside = prometheus, declared, beside


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    folder = tmp_path_factory.mktemp("observed")
    with contextlib.ExitStack() as stack:
        model = ModelServer.start()
        stack.callback(model.close)
        system = System(
            folder / "data",
            TURNLOG_AUTH="required",
            TURNLOG_LIMIT_TENANT_COMPRESSIONS_PER_HOUR="5",
            TURNLOG_MODEL_PROVIDER="openai",
            TURNLOG_MODEL_NAME="m",
            TURNLOG_MODEL_BASE_URL=f"http://127.0.0.1:{model.port}/v1",
            TURNLOG_MODEL_API_KEY="k",
            TURNLOG_MODEL_INPUT_PRICE="1",
            TURNLOG_MODEL_OUTPUT_PRICE="4",
        ).start()
        stack.callback(system.stop)
        stand_by, beside = stack.enter_context(projector_beside(system, folder))
        api = system.url.removeprefix("http://")
        places = {api: "turnlog", stand_by: "turnlog-projector"}
        asked = stack.enter_context(prometheus(folder, places))
        live(system, model, asked)
        declared = set()
        for place in places:
            text = httpx.get(f"http://{place}/metrics", trust_env=False).text
            declared |= {name for family in text_string_to_metric_families(text) for name in names_of(family)}
        yield Observed(asked, declared, beside)


def names_of(family: Any) -> set[str]:
    """The names under which a declared metric's samples come."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
    return {f"{family.name}{suffix}" for suffix in suffixes} | {sample.name for sample in family.samples}


@contextlib.contextmanager
def projector_beside(system: System, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A projector that stands by, as a process with metrics of its own, and its address."""
    addresses = system.addresses()
    port = free_port()
    settings = environment(
        DATABASE_URL=addresses["database_url"],
        NATS_URL=addresses["nats_url"],
        REDIS_URL=addresses["redis_url"],
        TURNLOG_METRICS_PORT=str(port),
    )
    with (folder / "projector.log").open("wb") as output:
        command = [sys.executable, "-m", "turnlog_projector"]
        process = subprocess.Popen(command, env=settings, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/livez"), "the projector beside serves its metrics")
        yield f"127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, trust_env=False).is_success
    return False


def live(system: System, model: ModelServer, asked: Prometheus) -> None:
    """Some seconds of a life with troubles in it, until Prometheus has seen them."""
    key = system.event("first_key")["key"]
    stop = threading.Event()
    with system.client(key) as client:
        for turn in range(30):
            client.store(SESSION, "user", f"Fact number {turn} is that I like the tea of that garden.")
        subscriber = threading.Thread(target=subscribe, args=(system.url, key, stop))
        subscriber.start()
        try:
            model.mode = "refuses"
            assert compress(system.url, key) == 202
            until(lambda: asked.query("sum(llm_errors_total) > 0"), "a model fails")
            model.mode = "ok"
            priced = "sum(llm_cost_dollars_total) > 0"
            until(lambda: work(client) and asked.query(priced), "a model answers", 60)
            assert compress(system.url, "tl_wrong") == 401
            until(lambda: compress(system.url, key) == 429, "a limit refuses")
            system.find("valkey").kill()
            lost = 'sum(projector_failures_total) > 0 and sum(memory_read_fallbacks_total{reason="away"}) > 0'
            until(lambda: work(client) and asked.query(lost), "the projector and reads miss Redis", 60)
            system.event("server_back", name="valkey")
            whole = "max(turnlog_projector_partitions_unreadable) == 0"
            settled = f"{whole} and sum(turnlog:leaders) == 3 and sum(memory_streams) > 0"
            until(lambda: work(client) and asked.query(settled), "the system has settled", 60)
            until(lambda: work(client) and asked.query("turnlog:requests_slow:ratio6h"), "rules were worked out")
        finally:
            stop.set()
            subscriber.join(20)


def work(client: Client) -> bool:
    """Some calls of each kind."""
    turn = os.urandom(8).hex()
    stored = [client.store(SESSION, "user", "One more.", turn_id=turn) for _ in range(2)][-1]
    assert stored.duplicate
    client.turns(SESSION, limit=5, min_version=stored.version)
    client.context(SESSION)
    client.summary(SESSION)
    return True


def compress(url: str, key: str) -> int:
    """Ask for a compression; the status."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/v1/sessions/{SESSION}/compress", headers=headers, trust_env=False).status_code


def subscribe(url: str, key: str, stop: threading.Event) -> None:
    """Hold a live stream open; open it again when it is quiet for a while."""
    headers = {"authorization": f"Bearer {key}"}
    while not stop.is_set():
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(trust_env=False, timeout=5) as http,
            http.stream("GET", f"{url}/v1/sessions/{SESSION}/events", headers=headers) as answer,
        ):
            for _ in answer.iter_raw():
                if stop.is_set():
                    return


def test_every_metric_of_a_rule_or_panel_exists_with_its_labels(observed: Observed) -> None:
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    expressions = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    expressions += [(panel, expression) for panel, expression, _ in targets()]
    seen = set(observed.prometheus.get("/label/__name__/values"))
    wrong = []
    for where, expression in expressions:
        for named in named_in(expression):
            if named.metric in recorded or named.metric in OF_PROMETHEUS:
                continue
            if named.metric not in seen | observed.declared:
                wrong.append(f"{where}: there is no metric {named.metric}")
            elif named.metric in seen and (strange := strange_labels(observed, named)):
                wrong.append(f"{where}: {named.metric} has no label {', '.join(strange)}")
    assert wrong == []
    unseen = {n.metric for _, e in expressions for n in named_in(e)} - seen - set(OF_PROMETHEUS)
    assert unseen <= ONLY_IN_TROUBLE, "this test should make these move"


def strange_labels(observed: Observed, named: Named) -> set[str]:
    return set(named.labels - observed.prometheus.labels_of(named.metric))


def test_a_metric_that_is_not_there_would_be_found(observed: Observed) -> None:
    seen = set(observed.prometheus.get("/label/__name__/values"))
    assert "turnlog_log_position" in seen
    assert "turnlog_log_positon" not in seen | observed.declared
    assert strange_labels(observed, Named("turnlog_log_position", frozenset({"log", "tenant"}))) == {"tenant"}


def test_every_panel_shows_something_with_the_labels_of_its_legend(observed: Observed) -> None:
    wrong = []
    for title, expression, legend in targets():
        series = observed.prometheus.query(expression)
        if not series and not {named.metric for named in named_in(expression)} <= ONLY_IN_TROUBLE:
            wrong.append(f"{title} shows nothing: {expression}")
        for label in re.findall(r"{{(\w+)}}", legend):
            if not all(label in one["metric"] for one in series):
                wrong.append(f"{title}: its series have no {label}")
    assert wrong == []


def test_prometheus_works_every_rule_out(observed: Observed) -> None:
    for rule in rules():
        observed.prometheus.query(rule["expr"])
        if "record" in rule:
            assert observed.prometheus.query(rule["record"]), f"{rule['record']} has no series"


def test_prometheus_itself_met_no_error_and_calls_nobody_about_a_system_that_has_settled(observed: Observed) -> None:
    groups = observed.prometheus.get("/rules")["groups"]
    assert [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"] == []
    firing = {rule["name"] for group in groups for rule in group["rules"] if rule.get("state") == "firing"}
    assert firing - {"TurnlogRequestsFailing", "TurnlogRequestsSlow"} == set(), "a server was killed a moment ago"


def test_what_a_variable_of_the_dashboard_offers_is_there(observed: Observed) -> None:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            assert label in observed.prometheus.labels_of(metric)


def test_a_replica_that_ends_is_noticed(observed: Observed) -> None:
    """The alert waits two minutes before it fires; that it is pending says that it saw."""
    pending = 'ALERTS{alertname="TurnlogInstanceDown",job="turnlog-projector",alertstate="pending"}'
    assert observed.prometheus.query(pending) == []
    observed.beside.terminate()
    until(lambda: observed.prometheus.query(pending), "the alert is pending")
