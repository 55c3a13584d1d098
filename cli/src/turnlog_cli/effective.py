"""The values in effect: of the environment, of files it names, of what runs in the data folder.

In: an environment. Out: every setting with its value as it may be shown and where it came from, or `SettingsError`
with every problem. Called by `turnlog config`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from turnlog_cli.addresses import Addresses, running_in
from turnlog_runtime.setting_addresses import HIDDEN, without_password
from turnlog_runtime.setting_problems import SettingsError, shown
from turnlog_runtime.settings import Origin, read
from turnlog_runtime.settings_catalog import ELSEWHERE, SERVICES, Described, catalog

NOT_SET = "not set"
_OF_UP = ("database_url", "database_owner_url", "nats_url", "redis_url")
_TELEMETRY = "OTEL_"


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting in effect; `value` as it may be shown, empty for empty text and for none."""

    setting: Described
    value: str
    origin: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The settings of a class."""

    title: str
    settings: tuple[Effective, ...]


def effective(environment: Mapping[str, str], service: str | None, data_dir: Path | None) -> list[Group]:
    """The settings in effect, of all services or one. Raises `SettingsError`."""
    chosen = {} if data_dir is None else {"data_dir": str(data_dir)}
    kinds = [SERVICES[service]] if service is not None else list(SERVICES.values())
    readings = [read(kind, environment, chosen) for kind in kinds]
    if problems := [*dict.fromkeys(problem for reading in readings for problem in reading.problems)]:
        raise SettingsError(*problems)
    values: dict[str, object] = {}
    origins: dict[str, Origin] = {}
    for reading in readings:
        values |= dict(reading.settings) if reading.settings is not None else {}
        origins |= reading.origins
    folder = Path(str(values["data_dir"]))
    found = _Found(values, origins, folder, running_in(folder))
    groups = [Group(g.title, tuple(map(found.one, g.settings))) for g in catalog(service)]
    return [group for group in groups if group.settings]


@dataclass(frozen=True, slots=True)
class _Found:
    values: Mapping[str, object]
    origins: Mapping[str, Origin]
    folder: Path
    running: Addresses | None

    def one(self, setting: Described) -> Effective:
        value = self.values[setting.name]
        origin = self.origins.get(setting.name, Origin("default"))
        if value is None and self.running is not None and (own := self._of_up(setting.name)):
            return Effective(setting, without_password(own), f"turnlog up in {self.folder}", changed=False)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        text = "" if value is None else shown(setting.name, setting.field, value)
        return Effective(setting, text, _told(origin, setting), value != setting.field.get_default())

    def _of_up(self, name: str) -> str:
        """What `turnlog up` serves itself: commands use it. The owner's address only beside its own database."""
        if name not in _OF_UP or (name == "database_owner_url" and self.values["database_url"] is not None):
            return ""
        return str(getattr(self.running, name))


def _told(origin: Origin, setting: Described) -> str:
    return "environment" if origin == Origin("environment", setting.variables[0]) else str(origin)


def elsewhere(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that are set and that no service's settings hold: of commands, clients, embedded servers and
    OpenTelemetry; secrets hidden."""
    for name in sorted(environment):
        upper = name.upper()
        if upper in ELSEWHERE or upper.startswith(_TELEMETRY):
            secret = upper == "TURNLOG_API_KEY" or any(part in upper for part in ("HEADERS", "TOKEN", "SECRET", "KEY"))
            hidden = secret and not upper.endswith("_FILE") and environment[name]
            yield name, HIDDEN if hidden else without_password(environment[name])
