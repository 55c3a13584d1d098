"""A settings class read from an environment: the settings, where each came from, or every problem at once.

Called by `settings.read`, which adds the variables that nothing reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from turnlog_runtime.door_settings import DoorSettings
from turnlog_runtime.setting_facts import variables
from turnlog_runtime.setting_problems import wrong_addresses, wrong_values
from turnlog_runtime.settings_given import Origin, given

D = TypeVar("D", bound=DoorSettings)


@dataclass(frozen=True, slots=True)
class Reading(Generic[D]):
    """What the environment makes of a settings class: the settings, where each came from (those that are not named are
    defaults), and every problem; `settings` is None where there is one."""

    settings: D | None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def reading_of(settings: type[D], environment: Mapping[str, str], chosen: Mapping[str, object]) -> Reading[D]:
    """The settings of this class; `chosen`, by field, wins over the environment. Reads the files that it names."""
    fields = settings.model_fields
    found = given({name: info for name, info in fields.items() if name not in chosen}, environment)
    origins = found.origins | {name: Origin("command line") for name in chosen}
    values: dict[str, object] = {**found.values, **chosen}
    wrong = wrong_addresses(fields, found.values, origins)
    made = _made(settings, values, wrong)
    if isinstance(made, ValidationError):
        wrong |= wrong_values(made, fields, origins)
        made = _made(settings, values, wrong)
    problems = [*found.problems, *wrong.values()]
    if not isinstance(made, ValidationError):
        told = {variable for name in wrong for variable in variables(name, fields[name])}
        problems += [said for said in made.problems() if not any(variable in said for variable in told)]
        if not problems:
            return Reading(made, origins)
    return Reading(None, origins, tuple(problems))


def _made(settings: type[D], values: Mapping[str, object], without: Mapping[str, str]) -> D | ValidationError:
    """The settings from these values alone: a call of the class would read the environment of the process again."""
    made = settings.__new__(settings)
    try:
        BaseModel.__init__(made, **{name: value for name, value in values.items() if name not in without})
    except ValidationError as error:
        return error
    return made
