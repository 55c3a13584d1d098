"""The Helm chart, rendered by Helm's engine: valid for Kubernetes, hardened, and whole: what names a thing finds it."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from chart_values import ALL, BARE, EVERYTHING, EXISTING, KEDA, MINIMAL
from charted import ADDRESSES, CHART, ROOT, Object, Rendered, findings, helm_python, render

CUSTOM = frozenset({"PodMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute"})
"""Kinds that Kubernetes itself does not know: their schemas come with their operators."""
VERSIONS = ("1.27", kubernetes_validate.latest_version())
PARTS = ("ingest", "query", "projector", "compressor", "mcp", "gateway")


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """kubernetes-validate reads megabytes of definitions anew for every object."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


@pytest.fixture(scope="module", params=ALL)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The chart with each set of values."""
    return render(ALL[request.param])


@pytest.fixture(scope="module")
def everything() -> Rendered:
    return render(EVERYTHING)


@pytest.mark.parametrize("name", ALL)
def test_helm_has_nothing_to_say(name: str) -> None:
    assert findings(ALL[name]) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(rendered: Rendered, version: str) -> None:
    for found in rendered.objects:
        if found["kind"] in CUSTOM:
            with pytest.raises(kubernetes_validate.SchemaNotFoundError):
                kubernetes_validate.validate(found, version, strict=True)
        else:
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_would_object_to_a_field_it_does_not_know(version: str) -> None:
    found = json.loads(json.dumps(render(MINIMAL).named("Deployment", "demo-turnlog-query")))
    found["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(found, version, strict=True)


def test_names_are_unique_and_short_enough(rendered: Rendered) -> None:
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for _, name in names)
    assert all(found["metadata"]["namespace"] == "memory" for found in rendered.objects)


def test_pods_are_hardened(rendered: Rendered) -> None:
    for name, pod in rendered.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert container["image"].rpartition(":")[2] not in ("", "latest")


def test_what_serves_is_probed_on_a_port_it_has(rendered: Rendered) -> None:
    for found in rendered.of("Deployment"):
        [container] = found["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        paths = {}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            paths[probe] = container[probe]["httpGet"]["path"]
            assert container[probe]["httpGet"]["port"] in ports
        assert paths["startupProbe"] == paths["livenessProbe"] == "/livez"
        assert paths["readinessProbe"] == ("/livez" if container["name"] == "nginx" else "/readyz")


def test_selectors_find_pods_of_their_own_and_no_others(rendered: Rendered) -> None:
    pods = dict(rendered.pods())
    for found in rendered.objects:
        selector = _selector(found)
        if selector is None:
            continue
        chosen = {name for name, pod in pods.items() if selector.items() <= pod["metadata"]["labels"].items()}
        assert len(chosen) == 1, f"{found['kind']} {found['metadata']['name']} selects {chosen}"
        component = found["metadata"]["labels"]["app.kubernetes.io/component"]
        assert chosen.pop() == f"Deployment/{_fullname(rendered)}-{component}"


def _fullname(rendered: Rendered) -> str:
    name: str = rendered.of("Deployment")[0]["metadata"]["name"]
    return name.rpartition("-")[0]


def _selector(found: Object) -> dict[str, str] | None:
    spec: Mapping[str, Any] = found.get("spec", {})
    match found["kind"]:
        case "Service":
            return dict(spec["selector"])
        case "Deployment" | "PodDisruptionBudget":
            return dict(spec["selector"]["matchLabels"])
        case "NetworkPolicy":
            return dict(spec["podSelector"]["matchLabels"])
        case _:
            return None


def test_every_part_has_a_disruption_budget(everything: Rendered) -> None:
    assert {found["metadata"]["name"] for found in everything.of("PodDisruptionBudget")} == {
        f"demo-turnlog-{part}" for part in PARTS
    }


def test_a_budget_never_holds_up_a_drain_for_good(rendered: Rendered) -> None:
    for found in rendered.of("PodDisruptionBudget"):
        assert found["spec"]["maxUnavailable"] >= 1


@pytest.mark.parametrize("values", [EVERYTHING, KEDA], ids=["hpa", "keda"])
def test_what_is_scaled_is_there_and_sets_no_number_itself(values: Mapping[str, Any]) -> None:
    rendered = render(values)
    scalers = rendered.of("HorizontalPodAutoscaler") + rendered.of("ScaledObject")
    assert {found["spec"]["scaleTargetRef"]["name"] for found in scalers} == {f"demo-turnlog-{part}" for part in PARTS}
    for found in scalers:
        target = rendered.named("Deployment", found["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
    for found in render(MINIMAL).of("Deployment"):
        assert found["spec"]["replicas"] >= 2


def test_both_scalers_ask_for_the_same(everything: Rendered) -> None:
    keda = render(KEDA)
    for found in everything.of("HorizontalPodAutoscaler"):
        name = found["metadata"]["name"]
        asked = {}
        for metric in found["spec"]["metrics"]:
            kind = metric["type"].lower()
            target = metric[kind]["target"]
            key = metric[kind]["name"] if kind == "resource" else metric[kind]["metric"]["name"]
            asked[key] = str(target.get("averageUtilization", target.get("averageValue")))
        triggers = keda.named("ScaledObject", name)["spec"]["triggers"]
        assert len(triggers) == len(asked)
        for trigger in triggers:
            if trigger["type"] == "cpu":
                assert trigger["metadata"]["value"] == asked["cpu"]
            else:
                [metric_name] = [key for key in asked if key in trigger["metadata"]["query"]]
                assert trigger["metadata"]["threshold"] == asked[metric_name]
                assert 'namespace="memory"' in trigger["metadata"]["query"]


def test_the_alerts_are_those_of_the_repository(everything: Rendered) -> None:
    [rule] = everything.of("PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "turnlog-rules.yml").read_text())


def test_every_pod_with_metrics_is_scraped(everything: Rendered) -> None:
    [monitor] = everything.of("PodMonitor")
    [expression] = monitor["spec"]["selector"]["matchExpressions"]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    for found in everything.of("Deployment"):
        labels = found["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        [container] = found["spec"]["template"]["spec"]["containers"]
        has = endpoint["port"] in {port["name"] for port in container["ports"]}
        assert has == (labels[expression["key"]] in expression["values"])


def test_the_migration_comes_first_with_what_is_there_by_then() -> None:
    rendered = render(MINIMAL)
    [job] = rendered.of("Job")
    [own] = [found for found in rendered.of("Secret") if found["metadata"]["name"] == "demo-turnlog-migrate"]
    hooks = [found["metadata"]["annotations"] for found in (own, job)]
    assert [hook["helm.sh/hook"] for hook in hooks] == ["pre-install,pre-upgrade"] * 2
    assert int(hooks[0]["helm.sh/hook-weight"]) < int(hooks[1]["helm.sh/hook-weight"])
    spec = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    [volume] = [found for found in spec["volumes"] if "secret" in found]
    assert volume["secret"]["secretName"] == own["metadata"]["name"]
    assert spec["containers"][0]["args"] == ["migrate"]
    [job] = render(EXISTING).of("Job")
    [volume] = [found for found in job["spec"]["template"]["spec"]["volumes"] if "secret" in found]
    assert volume["secret"]["secretName"] == "ours"


def test_the_test_pod_asks_services_that_there_are(rendered: Rendered) -> None:
    [pod] = rendered.of("Pod")
    services = {found["metadata"]["name"] for found in rendered.of("Service")}
    for container in pod["spec"]["containers"]:
        assert container["command"][:2] == ["python", "/app/ready.py"]
        assert container["command"][3] in services


def test_the_test_pod_is_let_in() -> None:
    rendered = render({**MINIMAL, "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]}})
    [pod] = rendered.of("Pod")
    for container in pod["spec"]["containers"]:
        policy = rendered.named("NetworkPolicy", container["command"][3])
        [peers] = [rule["from"] for rule in policy["spec"]["ingress"] if rule["ports"] == [{"port": "http"}]]
        chosen = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
        assert any(labels.items() <= pod["metadata"]["labels"].items() for labels in chosen), policy["metadata"]["name"]


@pytest.mark.parametrize("values", [MINIMAL, EXISTING, EVERYTHING])
def test_the_first_key_is_made_by_a_pod_that_kubernetes_takes_and_the_command_too(values: Mapping[str, Any]) -> None:
    """Hardened as the others, with the owner's address from a file, and without variables that are no settings."""
    rendered = render(values)
    [given] = re.findall(r"--overrides='(.+)' -- keys create$", rendered.notes, re.MULTILINE)
    assert "'" not in given
    spec = json.loads(given)["spec"]
    [image] = re.findall(r"--image=(\S+)", rendered.notes)
    spec["containers"][0] |= {"image": image, "args": ["keys", "create"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "turnlog-keys"}, "spec": spec}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    [job] = rendered.of("Job")
    migrating = job["spec"]["template"]["spec"]
    for same in ("enableServiceLinks", "automountServiceAccountToken", "securityContext"):
        assert spec[same] == migrating[same]
    assert spec["containers"][0]["securityContext"] == migrating["containers"][0]["securityContext"]
    [variable] = spec["containers"][0]["env"]
    assert variable["value"] == "/run/secrets/turnlog/database-owner-url"
    [secret] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert secret["secretName"] == ("demo-turnlog" if values is MINIMAL else "ours")


def test_an_ingress_ends_at_the_gateway(everything: Rendered) -> None:
    [ingress] = everything.of("Ingress")
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    service = everything.named("Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_a_bare_release_is_the_four_services_alone() -> None:
    rendered = render(BARE)
    kinds = sorted(found["kind"] for found in rendered.objects)
    assert kinds == ["Deployment"] * 4 + ["Pod"] + ["Service"] * 2


REFUSED = {
    "no address": ({}, "secrets.databaseUrl is not set"),
    "no owner": ({"secrets": ADDRESSES | {"databaseOwnerUrl": ""}}, "migrations need the schema's owner"),
    "no address of NATS": ({"secrets": ADDRESSES | {"natsUrl": ""}}, "secrets.natsUrl is not set"),
    "another database": ({"secrets": ADDRESSES | {"databaseUrl": "mysql://db/turnlog"}}, "databaseUrl"),
    "a misspelt value": ({**MINIMAL, "ingres": {}}, "ingres"),
    "a misspelt value of a part": ({**MINIMAL, "query": {"replica": 3}}, "replica"),
    "a setting that is none": ({**MINIMAL, "settings": {"LOG_LEVEL": "debug"}}, "LOG_LEVEL"),
    "an ingress without a gateway": (
        {**MINIMAL, "gateway": {"enabled": False}, "mcp": {"enabled": False}, "ingress": {"enabled": True}},
        "an Ingress cannot tell writes from reads",
    ),
    "an ingress without hosts": ({**MINIMAL, "ingress": {"enabled": True}}, "ingress.hosts is empty"),
    "a route without a gateway": ({**MINIMAL, "httpRoute": {"enabled": True}}, "httpRoute.parentRefs is empty"),
    "MCP without an API": ({**MINIMAL, "gateway": {"enabled": False}}, "mcp.apiUrl is not set"),
    "scaling by nothing": (
        {**MINIMAL, "ingest": {"autoscaling": {"enabled": True, "cpuPercent": 0}}},
        "ingest.autoscaling is enabled, but by nothing",
    ),
    "KEDA without Prometheus": ({**KEDA, "keda": {"prometheusAddress": ""}}, "keda.prometheusAddress is not set"),
    "another scaler": ({**MINIMAL, "autoscalingBy": "vpa"}, "autoscalingBy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_cannot_work_are_refused_in_words(name: str) -> None:
    values, said = REFUSED[name]
    with pytest.raises(helm_python.HelmError) as refused:
        render(values)
    assert said in str(refused.value)


def test_the_schema_knows_every_value_and_no_other() -> None:
    with helm_python.Chart.load(CHART) as chart:
        assert chart.metadata["version"] == chart.metadata["appVersion"]
    schema = json.loads((CHART / "values.schema.json").read_text())
    with helm_python.Chart.load(CHART) as chart:
        _same_keys(chart.values, schema, schema["$defs"], "")


def _same_keys(values: Mapping[str, Any], schema: Mapping[str, Any], shared: Mapping[str, Any], at: str) -> None:
    if "$ref" in schema:
        schema = shared[schema["$ref"].rpartition("/")[2]]
    if schema.get("additionalProperties", True) is not False:
        return
    known = set(schema["properties"]) - {"global", "claims", "minAvailable", "requests", "limits", "maxUnavailable"}
    assert known <= set(values), f"{at}: the schema has {known - set(values)}, values.yaml has not"
    assert set(values) <= set(schema["properties"]), at
    for name in known:
        if isinstance(values[name], dict):
            _same_keys(values[name], schema["properties"][name], shared, f"{at}.{name}")
