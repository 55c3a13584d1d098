"""deploy/compose.yml: read by the real Compose, then held to what it promises."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from composed import FILE, ROOT, config
from turnlog_runtime.settings import (
    ALL_SETTINGS,
    CompressorSettings,
    SharedSettings,
    read,
)
from turnlog_runtime.settings_catalog import SERVICES

SETTINGS: Mapping[str, type[SharedSettings]] = {**SERVICES, "migrate": SharedSettings, "cli": SharedSettings}
ONCE = frozenset({"migrate", "cli"})
"""They end by themselves: nobody asks them whether they are well."""
NAMES = ("postgres", "nats", "redis", "gateway", "prometheus", "grafana", *SETTINGS)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The whole model, all profiles."""
    return config()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of secrets as the script makes it."""
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([ROOT / "deploy" / "secrets.sh", folder], check=True, capture_output=True)
    return folder


def test_everything_that_was_asked_for_is_there(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == set(NAMES)
    replicas = {name: service["deploy"].get("replicas", 1) for name, service in compose["services"].items()}
    assert (replicas["ingest"], replicas["query"]) == (2, 2)


def test_without_a_profile_there_is_no_prometheus_and_no_command_line() -> None:
    assert set(config(profiles="none")["services"]) == set(NAMES) - {"prometheus", "grafana", "cli"}


@pytest.mark.parametrize("name", NAMES)
def test_a_container_is_hardened(name: str, compose: dict[str, Any]) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    uid = service["user"].partition(":")[0]
    assert uid.isdigit()
    assert int(uid) > 0
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert service["restart"] in ("unless-stopped", "on-failure") or name == "cli"


@pytest.mark.parametrize("name", sorted(set(NAMES) - ONCE))
def test_a_container_says_how_it_is(name: str, compose: dict[str, Any]) -> None:
    check = compose["services"][name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("name", sorted(ONCE))
def test_what_ends_by_itself_is_waited_for_or_asked_for(name: str, compose: dict[str, Any]) -> None:
    waits = [service.get("depends_on", {}).get(name, {}) for service in compose["services"].values()]
    assert (
        "profiles" in compose["services"][name]
        or {"condition": "service_completed_successfully"}.items() <= next(wait for wait in waits if wait).items()
    )


def test_nothing_waits_for_itself(compose: dict[str, Any]) -> None:
    waiting = {name: set(service.get("depends_on", {})) for name, service in compose["services"].items()}
    while ready := {name for name, on in waiting.items() if not on}:
        waiting = {name: on - ready for name, on in waiting.items() if name not in ready}
    assert not waiting, f"these wait for one another: {waiting}"


def test_only_loopback_is_published(compose: dict[str, Any]) -> None:
    published = {
        (name, port["host_ip"], port["target"])
        for name, service in compose["services"].items()
        for port in service.get("ports", ())
    }
    assert published == {
        ("gateway", "127.0.0.1", 8080),
        ("prometheus", "127.0.0.1", 9090),
        ("grafana", "127.0.0.1", 3000),
    }


def test_the_stores_have_no_way_out(compose: dict[str, Any]) -> None:
    assert compose["networks"]["stores"]["internal"] is True
    for name in ("postgres", "nats", "redis"):
        assert set(compose["services"][name]["networks"]) == {"stores"}
    for name in ("gateway", "mcp", "prometheus", "grafana"):
        assert "stores" not in compose["services"][name]["networks"]


def test_no_password_is_in_the_file(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", variable) and value is not None:
                assert value.startswith("/run/secrets/"), f"{name}: {variable}"
    assert not re.search(r"://[^/\s:]*:[^@\s]+@", FILE.read_text())


def test_every_secret_is_made_and_every_mounted_one_is_read(compose: dict[str, Any], secrets: Path) -> None:
    for name, secret in compose["secrets"].items():
        assert Path(secret["file"]).parent == ROOT / "deploy" / "secrets"
        assert (secrets / name).is_file(), f"deploy/secrets.sh does not make {name}"
    for name, service in compose["services"].items():
        for secret in service.get("secrets", ()):
            text = str(service.get("environment")) + str(service.get("healthcheck")) + _mounted_text(service)
            assert f"run/secrets/{secret['source']}" in text, f"{name} mounts {secret['source']} and reads it nowhere"


def _mounted_text(service: Mapping[str, Any]) -> str:
    return "".join(
        Path(volume["source"]).read_text()
        for volume in service.get("volumes", ())
        if volume["type"] == "bind" and Path(volume["source"]).is_file()
    )


def test_every_mounted_file_is_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), volume["source"]
                assert volume["read_only"] is True


def test_images_are_pinned_and_built_from_targets_that_there_are(compose: dict[str, Any]) -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    for name, service in compose["services"].items():
        assert re.search(r":[\w.-]+$", service["image"]), name
        assert not service["image"].endswith(":latest")
        if name in SETTINGS:
            assert service["build"]["target"] in targets
            assert Path(service["build"]["context"], service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_takes_the_settings_it_is_given(name: str, compose: dict[str, Any], secrets: Path) -> None:
    given = dict(_environment(compose["services"][name], secrets))
    reading = read(SETTINGS[name], given)
    assert not reading.problems
    mounted = {f"/run/secrets/{secret['source']}" for secret in compose["services"][name].get("secrets", ())}
    used = {value for value in compose["services"][name]["environment"].values() if str(value).startswith("/run/")}
    assert used == mounted


def _environment(service: Mapping[str, Any], secrets: Path) -> Iterator[tuple[str, str]]:
    for variable, value in service["environment"].items():
        if value is not None:
            yield variable, str(value).replace("/run/secrets/", f"{secrets}/")


@pytest.mark.parametrize("name", sorted(set(SETTINGS) - ONCE))
def test_a_service_has_time_to_leave(name: str, compose: dict[str, Any]) -> None:
    service = compose["services"][name]
    given = service["environment"]
    grace = re.fullmatch(r"(?:(\d+)m)?(\d+)s", service["stop_grace_period"])
    assert grace is not None
    grace_s = int(grace[1] or 0) * 60 + int(grace[2])
    assert grace_s > float(given["TURNLOG_DRAIN_S"]) + float(given["TURNLOG_SHUTDOWN_S"]) + 3


def test_the_gateway_knows_the_services_by_name(compose: dict[str, Any]) -> None:
    upstreams = (ROOT / "deploy" / "nginx" / "upstreams.conf").read_text()
    for name, port in re.findall(r"server ([\w.-]+):(\d+) ", upstreams):
        service = compose["services"][name]
        assert service["healthcheck"]["test"][-1] == port
        assert set(service["networks"]) & set(compose["services"]["gateway"]["networks"])


def test_prometheus_and_grafana_reach_what_they_ask(compose: dict[str, Any]) -> None:
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    names = {
        (name, str(found["port"]))
        for job in scraped["scrape_configs"]
        for found in job.get("dns_sd_configs", ())
        for name in found["names"]
    }
    asked = {
        (name, service["environment"]["TURNLOG_METRICS_PORT"])
        for name, service in compose["services"].items()
        if name in set(SETTINGS) - ONCE
    }
    assert names == asked
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    boards = yaml.safe_load(next((provisioning / "dashboards").glob("*.yml")).read_text())["providers"][0]
    targets = {volume["target"] for volume in compose["services"]["grafana"]["volumes"]}
    assert boards["options"]["path"] in targets


def test_a_model_is_given_by_a_second_file(secrets: Path) -> None:
    files = (FILE, FILE.with_name("compose.model.yml"))
    chosen = {"TURNLOG_MODEL_PROVIDER": "anthropic", "TURNLOG_MODEL_NAME": "a-model"}
    (secrets / "model_api_key").write_text("sk-of-a-test\n")
    compressor = config(*files, environment=chosen)["services"]["compressor"]
    settings = read(CompressorSettings, dict(_environment(compressor, secrets))).settings
    assert settings is not None
    assert (settings.model_provider, settings.model_name) == ("anthropic", "a-model")
    assert settings.model_api_key is not None
    assert settings.model_api_key.get_secret_value() == "sk-of-a-test"


def test_another_port_and_more_replicas_are_told_to_the_services() -> None:
    chosen = {"GATEWAY_PORT": "9000", "TURNLOG_LIMIT_REPLICAS": "7"}
    services = config(environment=chosen)["services"]
    assert services["gateway"]["ports"][0]["published"] == "9000"
    for name in ("ingest", "query", "mcp"):
        assert services[name]["environment"]["TURNLOG_PUBLIC_URL"] == "http://127.0.0.1:9000"
    assert services["query"]["environment"]["TURNLOG_LIMIT_REPLICAS"] == "7"


def test_no_variable_of_the_file_is_a_setting_that_nothing_reads() -> None:
    """Variables for Compose itself must not begin as ours: in a shell that also runs Turnlog they would be refused."""
    known = {f"TURNLOG_{name.upper()}" for settings in ALL_SETTINGS for name in settings.model_fields}
    for file in (FILE, FILE.with_name("compose.model.yml")):
        for variable in re.findall(r"\$\{(TURNLOG_\w+)", file.read_text()):
            assert variable in known, variable
