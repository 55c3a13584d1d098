"""The dashboard as Grafana would load it: what its file must have, since no Grafana is at hand here."""

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from promql import named_in

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILE = GRAFANA / "dashboards" / "turnlog.json"
KINDS = {"row", "timeseries", "stat", "state-timeline", "table"}
UNITS = {"short", "s", "ops", "reqps", "percentunit", "bytes", "currencyUSD"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def described() -> ModuleType:
    """The module that the file is written by."""
    spec = importlib.util.spec_from_file_location("turnlog_dashboard", GRAFANA / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.path.copy()
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
        sys.modules.pop("panels", None)
    return module


def test_the_file_is_what_its_description_writes() -> None:
    assert FILE.read_text() == described().written(), "run `python deploy/grafana/dashboard.py`"


def test_ids_are_unique_and_titles_within_a_row(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    titles: set[str] = set()
    for panel in dashboard["panels"]:
        titles = set() if panel["type"] == "row" else titles
        assert panel["title"] not in titles, panel["title"]
        titles.add(panel["title"])


def test_no_panel_lies_on_another_or_beside_the_grid(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["w"] > 0
        assert at["h"] > 0
        assert 0 <= at["x"] <= at["x"] + at["w"] <= 24, panel["title"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    rows = [panel["gridPos"]["y"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert all(before < after for before, after in pairwise(rows))


def test_every_panel_says_what_it_shows_in_which_unit(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert panel["type"] in KINDS
        assert len(panel["description"]) > 5, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None, panel["title"]
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values), panel["title"]


def test_every_panel_asks_the_chosen_datasource_something_with_a_legend(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["legendFormat"], panel["title"]
            assert named_in(plain(target["expr"])), panel["title"]


def test_every_variable_is_defined_and_used(dashboard: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    text = json.dumps(panels)
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert names == {"datasource", "log", "service"}
    assert all(f"${name}" in text or f"${{{name}}}" in text for name in names)


def test_grafana_is_provisioned_with_the_folder_and_the_datasource() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "turnlog.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    source = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)


def plain(expression: str) -> str:
    """An expression with Grafana's variables replaced as it would."""
    return expression.replace("$__rate_interval", "1m").replace("$log", ".*").replace("$service", ".*")
