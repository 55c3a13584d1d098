"""Wrong values of settings in words: the variable, the value unless it is secret, what must be given. Pure."""

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from turnlog_runtime.setting_addresses import HIDDEN, address_problem, without_password
from turnlog_runtime.setting_facts import allowed, is_secret, mark, takes_file, variables, written
from turnlog_runtime.setting_marks import Address
from turnlog_runtime.settings_given import Origin

SHOWN_MAX_CHARS = 60


class SettingsError(Exception):
    """The environment holds wrong or unknown settings; each problem names the setting and the fix."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        text = f"{len(problems)} settings are wrong:\n  " + "\n  ".join(problems)
        super().__init__(text if len(problems) > 1 else problems[0])


def shown(name: str, field: FieldInfo, value: object) -> str:
    """A value as it may be shown to anybody: a secret hidden, an address without its password."""
    if is_secret(field):
        return without_password(str(value)) if mark(field, Address) and "://" in str(value) else HIDDEN
    text = written(value)
    if takes_file(name, field) and text:
        return without_password(text)
    return text


def wrong_values(error: ValidationError, fields: dict[str, FieldInfo], origins: dict[str, Origin]) -> dict[str, str]:
    """Each wrong value in words, by field."""
    found: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=True):
        place = str(each["loc"][0])
        name = next(n for n, field in fields.items() if place in (n, *variables(n, field)))
        field, value = fields[name], str(each["input"])
        variable = origins[name].variable or variables(name, field)[0]
        must = str(each["ctx"]["error"]) if each["type"] == "value_error" else f"must be {allowed(field)}"
        found[name] = f"{variable} {_is(name, field, value)}: {must}{_by_default(field)}"
    return found


def wrong_addresses(fields: dict[str, FieldInfo], values: dict[str, str], origins: dict[str, Origin]) -> dict[str, str]:
    """Each address that is none in words, by field."""
    found = {}
    for name, value in values.items():
        kind: Address | None = mark(fields[name], Address)
        if kind is not None and value and (problem := address_problem(value, kind)):
            found[name] = f"{origins[name].variable or variables(name, fields[name])[0]} {problem}"
    return found


def _is(name: str, field: FieldInfo, value: str) -> str:
    if not value:
        return "is empty"
    text = shown(name, field, value)
    if text == HIDDEN:
        return "has a wrong value (not shown)"
    return "is " + repr(text if len(text) <= SHOWN_MAX_CHARS else text[:SHOWN_MAX_CHARS] + "…")


def _by_default(field: FieldInfo) -> str:
    default = written(field.get_default())
    return f" (default {default})" if default else ""
