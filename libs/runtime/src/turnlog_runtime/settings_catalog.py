"""Every setting described: variables, unit, range, default, meaning, who reads it.

Made from the settings classes alone: the meaning is the text under the field. Read by `turnlog config` and by the
reference page; nothing that serves imports this.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from turnlog_runtime.door_settings import DoorSettings
from turnlog_runtime.setting_facts import allowed, is_secret, takes_file, unit, variables, written
from turnlog_runtime.settings import (
    ALL_SETTINGS,
    READ_ELSEWHERE,
    CompressorSettings,
    IngestSettings,
    LimitedSettings,
    McpSettings,
    ProjectorSettings,
    QuerySettings,
    SharedSettings,
)

SERVICES: dict[str, type[SharedSettings]] = {
    "ingest": IngestSettings,
    "query": QuerySettings,
    "projector": ProjectorSettings,
    "compressor": CompressorSettings,
    "mcp": McpSettings,
}
CLASSES: tuple[type[DoorSettings], ...] = (DoorSettings, SharedSettings, LimitedSettings, *ALL_SETTINGS)
_APIS = ("ingest", "query")
_HTTP = ("ingest", "query", "mcp")
_STORED = ("ingest", "query", "projector", "compressor")
_COMMANDS = ("turnlog",)
READERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("port", "drain_s"), _HTTP),
    "tenant_header": _HTTP,
    **dict.fromkeys(("auth", "public_url", "keys_cached", "keys_stale_max_s"), _APIS),
    **{name: _APIS for name in DoorSettings.model_fields if name.startswith("jwt_")},
    **dict.fromkeys(("database_url", "database_connections", "database_role", "deadline_s", "nats_url"), _STORED),
    "log": _STORED,
    "logs": ("ingest", "projector", "compressor"),
    "redis_url": ("ingest", "query", "projector"),
    "database_owner_url": _COMMANDS,
    "data_dir": _COMMANDS,
    "secret_key": (),
    "recent_turns": ("projector",),
    **dict.fromkeys(("stream_replicas", "stream_max_bytes", "stream_max_age_s"), ("ingest",)),
}
"""Who reads a setting that several classes have, where it is not every service; `turnlog` is the command line."""

ELSEWHERE = {
    "TURNLOG_URL": "The API that commands and clients call.",
    "TURNLOG_API_KEY": "The credential that commands and clients show there.",
    "TURNLOG_API_KEY_FILE": "A file with that credential, for commands.",
    "TURNLOG_POSTGRES_BIN": "The folder with PostgreSQL's programs, for the embedded server.",
    "TURNLOG_NATS_BIN": "The `nats-server` of the embedded server.",
    "TURNLOG_VALKEY_BIN": "The `valkey-server` or `redis-server` of the embedded server.",
}
"""Meanings of the variables in `READ_ELSEWHERE`."""
assert ELSEWHERE.keys() == READ_ELSEWHERE


@dataclass(frozen=True, slots=True)
class Described:
    """One setting. `default` is as it would be written in the environment, empty for none; `services` read it."""

    name: str
    field: FieldInfo
    variables: tuple[str, ...]
    takes_file: bool
    secret: bool
    unit: str
    allowed: str
    default: str
    meaning: str
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The settings that one class adds to those it builds on."""

    title: str
    about: str
    settings: tuple[Described, ...]


def catalog(service: str | None = None) -> tuple[Group, ...]:
    """All settings in the order of their classes, each once; or those that one service reads."""
    groups = [_group(settings) for settings in CLASSES]
    if service is None:
        return tuple(groups)
    kept = [Group(g.title, g.about, tuple(s for s in g.settings if service in s.services)) for g in groups]
    return tuple(group for group in kept if group.settings)


def _group(settings: type[DoorSettings]) -> Group:
    said = _meanings(settings)
    title, _, about = (inspect.getdoc(settings) or "").partition(".")
    described = (
        _described(settings, name, said.get(name, ""))
        for name in settings.__annotations__
        if name in settings.model_fields
    )
    return Group(" ".join(title.split()), " ".join(about.split()), tuple(described))


def _described(settings: type[DoorSettings], name: str, meaning: str) -> Described:
    field = settings.model_fields[name]
    return Described(
        name=name,
        field=field,
        variables=variables(name, field),
        takes_file=takes_file(name, field),
        secret=is_secret(field),
        unit=unit(name, field),
        allowed=allowed(field),
        default=written(field.get_default()),
        meaning=meaning,
        services=_readers(settings, name),
    )


def _readers(settings: type[DoorSettings], name: str) -> tuple[str, ...]:
    if settings is LimitedSettings:
        return _APIS
    own = [service for service, kind in SERVICES.items() if kind is settings]
    return tuple(own) or READERS.get(name, tuple(SERVICES))


def _meanings(settings: type[DoorSettings]) -> dict[str, str]:
    """The text under each field of the class's own, in one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    return dict(_pairs(body.body))


def _pairs(body: list[ast.stmt]) -> Iterable[tuple[str, str]]:
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            yield field.target.id, " ".join(str(ast.literal_eval(text.value)).split())
