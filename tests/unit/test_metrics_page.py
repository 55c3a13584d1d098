"""docs/metrics.md lists every metric of the code base with its type and labels, and no other; metrics keep to rules."""

import ast
import re
from pathlib import Path

import pytest

from metrics_catalogue import Family, families
from turnlog_cli.metrics_folder import KINDS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<name>[a-z_]+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\| (?P<means>[^|]+) \|[^|]*\|$")
OTHER_ROW = re.compile(r"^\| (?!name |---)")
FORBIDDEN = {"tenant", "session", "session_id", "user", "user_id", "agent", "agent_id", "key", "credential", "path"}


def in_the_page() -> list[tuple[str, str, tuple[str, ...]]]:
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    rows = [ROW.match(line) for line in lines if OTHER_ROW.match(line)]
    assert all(rows), "a row of the page has another form"
    return [(row["name"], row["kind"], tuple(re.findall(r"`(\w+)`", row["labels"]))) for row in rows if row]


def test_every_metric_is_on_the_page_with_its_type_and_labels_and_no_other() -> None:
    made, told = [(f.name, f.kind, f.labels) for f in families()], in_the_page()
    assert len(made) > 50
    assert sorted(told) == sorted(set(told)), "a metric stands there twice"
    assert sorted(set(made) - set(told)) == [], "in the code, missing or otherwise in docs/metrics.md"
    assert sorted(set(told) - set(made)) == [], "in docs/metrics.md, not so in the code"


def test_metrics_are_declared_in_modules_of_that_name_only() -> None:
    """So that the catalogue is whole."""
    for path in sorted(path for part in ("libs", "services", "cli") for path in (ROOT / part).glob("*/src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                made = {alias.name for alias in node.names} & {"Counter", "Histogram", "Summary", "Info", "Enum"}
                assert not made or path.name == "metrics.py", f"{path} declares {made}"


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_metric_has_a_meaning_and_labels_that_hold_nobody_and_a_gauge_says_what_several_processes_make_of_it(
    family: Family,
) -> None:
    assert family.meaning.strip()
    assert not FORBIDDEN & set(family.labels)
    if family.kind == "gauge":
        assert family.together.startswith("live"), "what a dead process said of its present must go with it"
        assert f"gauge_{family.together}" in KINDS, "its file has no room of its own on a full disk"
    if family.kind == "histogram":
        assert family.name.endswith(("_seconds", "_events"))
