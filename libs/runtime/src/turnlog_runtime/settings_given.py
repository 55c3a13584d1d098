"""What the environment gives for each setting: by its variable, or in a file that `<NAME>_FILE` names.

In: a settings class's fields and the environment. Out: the text of each value, where it came from, and every problem
found on the way, none of which holds a value. The files are read here, nothing else is. Called by `settings.read`.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic.fields import FieldInfo

from turnlog_runtime.setting_facts import TWIN, is_secret, takes_file, variables

FILE_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: the variable as it is written, and the file that it names."""

    kind: Literal["default", "environment", "file", "command line"]
    variable: str = ""
    path: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "environment":
                return f"environment {self.variable}"
            case "file":
                return f"file {self.path} ({self.variable})"
        return self.kind


@dataclass(frozen=True, slots=True)
class Given:
    """Values by field, each with its origin; fields that are not in it are not given."""

    values: dict[str, str] = field(default_factory=dict, repr=False)
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _Unreadable(Exception):
    """A file gives no value; the message goes on after the file's name."""


def given(fields: Mapping[str, FieldInfo], environment: Mapping[str, str]) -> Given:
    """What the environment says of the fields. Variables are found in either case, as pydantic-settings finds them."""
    found = Given()
    written = {name.upper(): name for name in environment}
    for name, info in fields.items():
        for variable in variables(name, info):
            plain = written.get(variable)
            twin = written.get(variable + TWIN) if takes_file(name, info) else None
            if plain is None and twin is None:
                continue
            if plain is not None and twin is not None:
                found.problems.append(f"{plain} and {twin} are both set: unset one of them")
            elif plain is not None:
                _take(found, name, info, environment[plain], Origin("environment", plain))
            elif twin is not None:
                _take_file(found, name, twin, environment[twin])
            break
    return found


def _take(found: Given, name: str, info: FieldInfo, value: str, origin: Origin) -> None:
    if is_secret(info) and not value.strip():
        found.problems.append(f"{origin.variable} is empty: give it a value, or unset it")
        return
    found.values[name], found.origins[name] = value, origin


def _take_file(found: Given, name: str, variable: str, path: str) -> None:
    try:
        value = value_in(variable, path)
    except ValueError as error:
        found.problems.append(str(error))
        return
    found.values[name], found.origins[name] = value, Origin("file", variable, path)


def value_in(variable: str, path: str) -> str:
    """The content of the file that a variable names, without the line break at its end. Raises `ValueError` with
    words that name both and what to do, never the content."""
    if not path.strip():
        raise ValueError(f"{variable} is empty: name a file, or unset it")
    try:
        return _content(path)
    except _Unreadable as error:
        raise ValueError(f"{variable} names {path}, {error}") from None


def _content(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _Unreadable("which does not exist: put the value there, or correct the path") from None
    except PermissionError:
        raise _Unreadable(f"which may not be read: let the user {os.geteuid()} read it") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise _Unreadable(f"which cannot be read ({why}): correct the path") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _Unreadable("which is no file: name one that holds the value")
    with os.fdopen(fd, "rb") as file:
        try:
            content = file.read(FILE_MAX_BYTES + 1)
        except OSError as error:
            raise _Unreadable(f"which cannot be read ({error.strerror}): see to its disk") from None
    if len(content) > FILE_MAX_BYTES:
        raise _Unreadable(f"which has more than {FILE_MAX_BYTES:,} bytes: name the one that holds only the value")
    try:
        value = content.decode().removeprefix("\ufeff").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _Unreadable("which is no text in UTF-8: write the value into it as text") from None
    if not value.strip():
        raise _Unreadable("which is empty: write the value into it")
    if any(c in value for c in "\r\n\0"):
        raise _Unreadable("which has several lines: it must hold only the value")
    return value
