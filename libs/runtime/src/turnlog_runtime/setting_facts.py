"""What a settings class says of each of its fields: variables, unit, range, whether it is secret. Pure.

Read by the messages about wrong values, by `turnlog config` and by the reference page.
"""

import re
from typing import Any, get_args

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from turnlog_runtime.setting_marks import Address, Allowed, Unit

PREFIX = "TURNLOG_"
TWIN = "_FILE"
_UNITS = {
    "s": "seconds", "bytes": "bytes", "events": "events", "tokens": "tokens", "turns": "turns",
    "sessions": "sessions", "chars": "characters", "connections": "connections", "attempts": "attempts",
    "failures": "failures", "workers": "workers", "replicas": "replicas",
}  # fmt: skip
_PER = {"s": "second", "minute": "minute", "hour": "hour", "day": "day"}
_KINDS = {int: "a whole number", float: "a number"}
_CHOICE = re.compile(r"\^\(([a-z0-9_-]+(?:\|[a-z0-9_-]+)*)\)\$")


def variables(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The environment variables of a field, the first that is set counts."""
    if isinstance(field.validation_alias, AliasChoices):
        return tuple(str(choice) for choice in field.validation_alias.choices)
    return (PREFIX + name.upper(),)


def is_secret(field: FieldInfo) -> bool:
    """Whether the value must never be shown."""
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def takes_file(name: str, field: FieldInfo) -> bool:
    """Whether `<NAME>_FILE` may name a file with the value: secrets and addresses, which may hold one."""
    return is_secret(field) or name.endswith("_url") or mark(field, Address) is not None


def mark(field: FieldInfo, kind: type[Any]) -> Any:
    """The field's mark of a kind; None without one."""
    return next((found for found in field.metadata if isinstance(found, kind)), None)


def unit(name: str, field: FieldInfo) -> str:
    """What the number counts; empty for what is no number."""
    if (said := mark(field, Unit)) is not None:
        return str(said.name)
    if field.annotation not in _KINDS:
        return ""
    if found := re.search(r"([a-z]+)_per_([a-z]+)$", name):
        return f"{found[1]} per {_PER[found[2]]}"
    words = name.split("_")
    return _UNITS.get(words[-1], _UNITS.get(words[-2], "") if words[-1] in ("max", "min") and len(words) > 1 else "")


def written(value: object) -> str:
    """A value as it would be written in the environment; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(field: FieldInfo) -> str:
    """What may be given, as the end of "must be"."""
    if (said := mark(field, Allowed)) is not None:
        return str(said.words)
    if (address := mark(field, Address)) is not None:
        return "an address that begins with " + " or ".join(f"{scheme}://" for scheme in address.schemes)
    if field.annotation is bool:
        return "true or false"
    if field.annotation in _KINDS:
        return _KINDS[field.annotation] + _range(field)
    pattern = next((p for m in field.metadata if (p := getattr(m, "pattern", None))), "")
    if choice := _CHOICE.fullmatch(pattern):
        return _either(choice[1].split("|"))
    return "text, not empty" if any(getattr(m, "min_length", 0) for m in field.metadata) else "text"


def _range(field: FieldInfo) -> str:
    least, above, most, below = (_bound(field, name) for name in ("ge", "gt", "le", "lt"))
    if least is not None and most is not None:
        return f" from {least:,} to {most:,}"
    words = [f"{least:,} or more"] if least is not None else []
    words += [f"above {above:,}"] if above is not None else []
    words += [f"at most {most:,}"] if most is not None else []
    words += [f"below {below:,}"] if below is not None else []
    return (", " if least is not None else " ") + ", ".join(words) if words else ""


def _bound(field: FieldInfo, name: str) -> float | None:
    return next((bound for m in field.metadata if (bound := getattr(m, name, None)) is not None), None)


def _either(choices: list[str]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]
