"""Recording rules and alerts, by Prometheus' own tool: well formed, each tested, each with a paragraph in the docs."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from debian import tool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES, TESTS = FOLDER / "turnlog-rules.yml", FOLDER / "turnlog-rules-test.yml"
SEVERITIES = {"critical", "warning", "info"}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def promtool(*words: str, folder: Path = FOLDER) -> "subprocess.CompletedProcess[str]":
    command = [tool("promtool", ("prometheus",)), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    done = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_alert_fires_when_it_should_and_is_quiet_when_it_should_not() -> None:
    done = promtool("test", "rules", TESTS.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_never_fires_would_be_found(tmp_path: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"] = f"({rule['expr']}) and on () vector(0) > 1"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    done = promtool("test", "rules", TESTS.name, folder=tmp_path)
    assert done.returncode == 1
    for alert in alerts():
        assert alert["alert"] in done.stdout + done.stderr, f"no test misses {alert['alert']}"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_means_and_where_more_stands(alert: dict[str, Any]) -> None:
    assert alert["alert"].startswith("Turnlog")
    assert alert["labels"]["severity"] in SEVERITIES
    assert "for" in alert
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "runbook"}
    assert len(said["summary"]) < 110
    assert len(said["description"]) > 60
    page, anchor = said["runbook"].split("#")
    assert anchor in anchors(ROOT / page), f"{page} has no paragraph #{anchor}"
    assert anchor == alert["alert"].lower()


def test_the_page_has_a_paragraph_for_no_alert_that_is_not_there() -> None:
    found = {anchor for anchor in anchors(ROOT / "docs" / "observe.md") if anchor.startswith("turnlog")}
    assert found - {"turnlog-top"} == {alert["alert"].lower() for alert in alerts()}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as those who show Markdown make them."""
    headings = re.findall(r"^#{1,6} (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
