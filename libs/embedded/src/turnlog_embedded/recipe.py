"""What it takes to start one server: made by postgres.py, nats.py, valkey.py, followed by servers.py."""

import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from turnlog_embedded.child import Order
from turnlog_embedded.readiness import Probe

# Runs a tool to its end while the server's lock is held; raises ServerFailed when it fails.
RunTool = Callable[[Order], Awaitable[None]]


@dataclass(frozen=True)
class Recipe:
    """The process to run, and how to see that it serves."""

    order: Order
    probe: Probe


def settings(file_name: str, values: Mapping[str, str]) -> str:
    """A settings file of this package with its `${placeholders}` filled in; a missing one raises KeyError."""
    text = resources.files("turnlog_embedded").joinpath(file_name).read_text(encoding="utf-8")
    return string.Template(text).substitute(values)


def quoted(text: str) -> str:
    """A string as NATS and Valkey read it in their settings: in double quotes, with backslash escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
