"""What the chart's pods are told: settings that exist, secrets that they need and no others; and where calls go."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chart_values import ALL, EVERYTHING, EXISTING, MINIMAL
from charted import ADDRESSES, ROOT, Object, Rendered, render
from gateway_run import SHIPPED, checked, free_port, laid
from turnlog_access.route_scopes import ROUTES
from turnlog_runtime.settings import SharedSettings, read
from turnlog_runtime.settings_catalog import SERVICES

SETTINGS: Mapping[str, type[SharedSettings]] = {**SERVICES, "migrate": SharedSettings}
FILES = {
    "database-url": ADDRESSES["databaseUrl"],
    "database-owner-url": ADDRESSES["databaseOwnerUrl"],
    "nats-url": ADDRESSES["natsUrl"],
    "redis-url": ADDRESSES["redisUrl"],
    "model-api-key": "sk-of-a-test",
}
NEEDED = {
    "ingest": {"database-url", "nats-url", "redis-url"},
    "query": {"database-url", "nats-url", "redis-url"},
    "projector": {"database-url", "nats-url", "redis-url"},
    "compressor": {"database-url", "nats-url", "model-api-key"},
    "mcp": set(),
    "migrate": {"database-url", "database-owner-url"},
}


@pytest.fixture(scope="module", params=ALL)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return render(ALL[request.param])


def containers(rendered: Rendered) -> dict[str, tuple[Object, Object]]:
    """The container of each part that is ours, and its pod."""
    return {
        container["name"]: (container, pod)
        for name, pod in rendered.pods()
        for container in pod["spec"]["containers"]
        if container["name"] in SETTINGS and not name.startswith("Pod/")
    }


def environment(container: Object, files: Path) -> dict[str, str]:
    """What the process would find: the mounted files are in a folder of the test's."""
    assert all(isinstance(entry["value"], str) for entry in container["env"])
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    assert len(given) == len(container["env"]), "a variable stands twice"
    return {name: value.replace("/run/secrets/turnlog", str(files)) for name, value in given.items()}


def test_every_service_takes_its_settings(rendered: Rendered, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    for part, (container, _) in containers(rendered).items():
        reading = read(SETTINGS[part], environment(container, tmp_path))
        assert not reading.problems, part


def test_a_part_sees_only_the_secrets_it_needs(tmp_path: Path) -> None:
    for part, (container, pod) in containers(render(EVERYTHING)).items():
        mounted = {
            item["key"] for volume in pod["spec"]["volumes"] for item in volume.get("secret", {}).get("items", ())
        }
        assert mounted == NEEDED[part], part
        named = {
            value.rpartition("/")[2] for value in environment(container, tmp_path).values() if str(tmp_path) in value
        }
        assert named == mounted


def test_no_secret_is_in_an_environment(rendered: Rendered) -> None:
    for found in rendered.objects:
        if found["kind"] != "Secret":
            assert not re.search(r"://\S*:\S*@", str(found)), found["metadata"]["name"]
    keys = {key for found in rendered.of("Secret") for key in found["stringData"]}
    assert keys <= FILES.keys()


def test_a_pod_has_time_to_leave(rendered: Rendered) -> None:
    for part, (container, pod) in containers(rendered).items():
        given = {entry["name"]: entry["value"] for entry in container["env"]}
        if part != "migrate":
            least_s = float(given["TURNLOG_DRAIN_S"]) + float(given["TURNLOG_SHUTDOWN_S"]) + 3
            assert pod["spec"]["terminationGracePeriodSeconds"] > least_s


def test_a_parts_own_settings_win() -> None:
    values = {
        **MINIMAL,
        "settings": {"TURNLOG_LOG_LEVEL": "warning", "TURNLOG_DRAIN_S": 20},
        "query": {"settings": {"TURNLOG_LOG_LEVEL": "debug"}},
    }
    found = containers(render(values))
    levels = {
        part: {entry["name"]: entry["value"] for entry in container["env"]}.get("TURNLOG_LOG_LEVEL")
        for part, (container, _) in found.items()
        if part in ("ingest", "query")
    }
    assert levels == {"ingest": "warning", "query": "debug"}


def test_limits_are_divided_among_the_most_replicas_there_may_be() -> None:
    def replicas(values: Mapping[str, Any]) -> str:
        container, _ = containers(render(values))["ingest"]
        return {entry["name"]: entry["value"] for entry in container["env"]}["TURNLOG_LIMIT_REPLICAS"]

    assert replicas(MINIMAL) == "4"
    assert replicas(EVERYTHING) == "16"


def test_the_gateway_runs_the_repositorys_configuration(tmp_path: Path) -> None:
    rendered = render(MINIMAL)
    data = rendered.named("ConfigMap", "demo-turnlog-gateway")["data"]
    for name in ("nginx.conf", "problems.conf", "listen.conf"):
        assert data[name].rstrip() == (SHIPPED / name).read_text().rstrip()
    hosts = re.findall(r"server ([\w.-]+):8080 resolve ", data["upstreams.conf"])
    headless = {
        f"{found['metadata']['name']}.memory.svc.cluster.local"
        for found in rendered.of("Service")
        if found["spec"].get("clusterIP") == "None"
    }
    assert set(hosts) == headless
    assert len(hosts) == 3
    # Debian's nginx is older than `resolve`, and this machine has no such resolver.
    known = re.sub(r"server [\w.-]+:8080 resolve ", "server 127.0.0.1:8080 ", data["upstreams.conf"])
    known = known.replace("kube-dns.kube-system.svc.cluster.local", "127.0.0.1")
    said = checked(laid(tmp_path, known, free_port()))
    assert said.returncode == 0, said.stderr


def test_the_gateway_without_mcp_still_starts(tmp_path: Path) -> None:
    data = render(ALL["without mcp"]).named("ConfigMap", "demo-turnlog-gateway")["data"]
    known = re.sub(r"server [\w.-]+:8080 resolve ", "server 127.0.0.1:8080 ", data["upstreams.conf"])
    known = known.replace("kube-dns.kube-system.svc.cluster.local", "127.0.0.1")
    said = checked(laid(tmp_path, known, free_port()))
    assert said.returncode == 0, said.stderr


def test_a_route_sends_every_call_where_the_gateway_does() -> None:
    [route] = render(EVERYTHING).of("HTTPRoute")
    reads = {("POST", "/tools/get_recent_turns"), ("POST", "/tools/get_compressed_memory")}
    for method, path in [*ROUTES, ("GET", "/readyz"), ("GET", "/.well-known/oauth-protected-resource/mcp")]:
        expected = (
            "mcp" if path.startswith("/mcp") else "query" if method == "GET" or (method, path) in reads else "ingest"
        )
        assert _routed(route, method, path.replace("{}", "x")) == f"demo-turnlog-{expected}", (method, path)
    assert _routed(route, "GET", "/metrics") is None


def _routed(route: Object, method: str, path: str) -> str | None:
    """The service that the Gateway API's rules of precedence choose: exact before longest prefix, then the method."""
    found = [
        ((match["path"]["type"] == "Exact", len(match["path"]["value"]), "method" in match), rule)
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
        if match.get("method", method) == method and _matches(match["path"], path)
    ]
    if not found:
        return None
    _, rule = max(found, key=lambda entry: entry[0])
    name: str = rule["backendRefs"][0]["name"]
    return name


def _matches(wanted: Mapping[str, str], path: str) -> bool:
    if wanted["type"] == "Exact":
        return path == wanted["value"]
    return path == wanted["value"] or path.startswith(wanted["value"].rstrip("/") + "/")


def test_every_metric_that_scales_is_one_of_ours() -> None:
    sources = "".join(
        file.read_text() for folder in ("libs", "services") for file in (ROOT / folder).rglob("src/**/*.py")
    )
    names = set()
    for values in (EVERYTHING, ALL["keda"]):
        text = str(render(values).of("HorizontalPodAutoscaler") + render(values).of("ScaledObject"))
        names |= set(re.findall(r"\b(?:turnlog|compressor|requests)_[a-z_]+", text))
    assert len(names) == 4
    for name in names:
        assert f'"{name}"' in sources, f"nothing makes {name}"


def test_an_existing_secret_means_none_is_made() -> None:
    assert render(EXISTING).of("Secret") == []
