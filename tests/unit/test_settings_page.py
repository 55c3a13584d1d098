"""The reference page is what the code says, and every setting says enough."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from turnlog_cli.main import Service
from turnlog_cli.settings_page import page
from turnlog_runtime.settings import ALL_SETTINGS
from turnlog_runtime.settings_catalog import CLASSES, SERVICES, Described, catalog

ROOT = Path(__file__).parents[2]
SETTINGS = [setting for group in catalog() for setting in group.settings]
PORTS = {"port", "metrics_port"}
SERVED = {*PORTS, "host", "shutdown_s", "drain_s"}
"""What `turnlog_runtime.ports` reads for every service."""
PROPERTIES = {
    "audiences": "jwt_audience",
    "algorithms": "jwt_algorithms",
    "logs_to_lead": "logs",
    "mcp_hosts": "mcp_allowed_hosts",
    "mcp_origins": "mcp_allowed_origins",
}
"""Properties of the settings classes, and the field that each reads."""
HOLDERS = {"settings", "own", "writing", "reading", "speaking", "loaded", "settings_of_all"}
"""What code calls an instance of a settings class."""
CODE = {
    **{name: (f"services/{name}",) for name in SERVICES},
    "turnlog": ("cli",),
}
BEHIND = dict.fromkeys(("ingest", "query"), ("libs/access", "libs/limits", "libs/runtime"))


def test_the_page_is_made_from_the_settings_classes() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "make it again: turnlog config --markdown > docs/configuration.md"


def test_every_setting_is_there_once() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(names) == len(set(names))
    assert set(names) == {name for settings in ALL_SETTINGS for name in settings.model_fields}
    assert {service.value for service in Service} == SERVICES.keys()
    assert set(SERVICES.values()) == set(ALL_SETTINGS) < set(CLASSES)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_says_what_it_means_in_which_unit_and_within_which_range(setting: Described) -> None:
    assert setting.meaning.endswith(".")
    assert len(setting.meaning) > 20
    if setting.field.annotation in (int, float) and setting.name not in PORTS:
        assert setting.unit, f"mark {setting.name} with a Unit"
    assert setting.allowed
    pattern = next((m.pattern for m in setting.field.metadata if getattr(m, "pattern", None)), "")
    assert not pattern or setting.allowed != "text", f"mark {setting.name} with what is Allowed"


def read_in(folders: tuple[str, ...]) -> set[str]:
    """The settings whose names are attributes of something called settings in the code of these folders."""
    known = {setting.name for setting in SETTINGS}
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("src/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            of = node.value.func if isinstance(node.value, ast.Call) else node.value
            holder = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
            name = PROPERTIES.get(node.attr, node.attr)
            if name in known and holder.strip("_") in {
                "settings",
                "own",
                "writing",
                "reading",
                "speaking",
                "loaded",
                "settings_of_all",
            }:
                found.add(name)
    return found


def test_who_reads_a_setting_is_who_the_page_says() -> None:
    said: dict[str, set[str]] = defaultdict(set)
    for setting in SETTINGS:
        for service in setting.services:
            said[service].add(setting.name)
    limits = {name for name in said["ingest"] if name.startswith("limit_")}  # by the names in libs/limits
    for service in SERVICES:
        read = read_in(CODE[service] + BEHIND.get(service, ()))
        unsaid = read - said[service]
        assert not unsaid, f"{service} reads {sorted(unsaid)}, the page does not say so"
        unread = said[service] - read - limits - SERVED
        assert not unread, f"the page says that {service} reads {sorted(unread)}: it does not"
    assert said["turnlog"] <= read_in(CODE["turnlog"])
