"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # commands import what they need when they run: `turnlog --help` answers at once
    from turnlog_cli.screen import Screen
    from turnlog_runtime.settings import SharedSettings

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The data folder (default: TURNLOG_DATA_DIR, else .turnlog).")
]
Url = Annotated[str | None, typer.Option("--url", help="The API (default: TURNLOG_URL, else of the data folder).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Log = Annotated[str | None, typer.Option("--log", help="The log (default: TURNLOG_LOG, else main).")]


def settings_of_all() -> "SharedSettings":
    """What every command knows of the environment. Raises `SettingsError`."""
    from turnlog_runtime.settings import SharedSettings, load

    return load(SharedSettings)


def folder(data_dir: Path | None) -> Path:
    """The data folder given, else that of the settings."""
    return data_dir if data_dir is not None else Path(settings_of_all().data_dir)


def screen(as_json: bool) -> "Screen":
    """Where the command prints."""
    from turnlog_cli.screen import Screen

    return Screen(as_json=as_json)
