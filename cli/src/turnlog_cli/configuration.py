"""`turnlog config`: the settings in effect, in words or as JSON."""

import os
from pathlib import Path

from rich.table import Table
from rich.text import Text

from turnlog_cli.effective import NOT_SET, Effective, Group, effective, elsewhere
from turnlog_cli.escape import one_line
from turnlog_cli.screen import Screen
from turnlog_runtime.setting_problems import SettingsError

WIDE_COLUMNS = 110


def tell_settings(service: str | None, data_dir: Path | None, *, changed: bool, screen: Screen) -> None:
    """Print the settings, all or those that are not the default. Raises `SettingsError`."""
    try:
        groups = effective(os.environ, service, data_dir)
    except SettingsError as error:
        for problem in error.problems:
            screen.fact({"problem": problem})
        raise
    known = [each for group in groups for each in group.settings]
    kept = [Group(g.title, tuple(s for s in g.settings if s.changed or not changed)) for g in groups]
    for group in kept:
        if group.settings:
            _tell_group(group, screen)
    others = [*elsewhere(os.environ)]
    if others:
        screen.say(Text("Read elsewhere", style="bold"))
        for name, value in others:
            screen.fact({"variable": name, "value": value, "origin": "environment", "read_elsewhere": True})
            screen.say(f"  {name} = {one_line(value)}")
        screen.say()
    differ = sum(each.changed for each in known)
    more = "" if changed else "; --changed shows only those" if differ else ""
    screen.say(f"{differ} of {len(known)} settings are not the default{more}")


def _tell_group(group: Group, screen: Screen) -> None:
    screen.say(Text(group.title, style="bold"))
    for each in group.settings:
        screen.fact(_fact(each))
    if screen.as_json:
        return
    if not screen.out.is_terminal:
        for each in group.settings:
            screen.say(f"  {each.setting.variables[0]} = {_value(each)}  ({each.origin})")
    else:
        screen.out.print(_table(group, screen.out.width))
    screen.say()


def _table(group: Group, width: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=2)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if width >= WIDE_COLUMNS:
        table.add_column()
    for each in group.settings:
        style = "" if each.changed else "dim"
        value, origin = Text(_value(each), style=style), Text(each.origin, style="cyan" if each.changed else "dim")
        if width >= WIDE_COLUMNS:
            table.add_row("", each.setting.variables[0], value, origin)
            continue
        table.add_row("", each.setting.variables[0], value)
        if each.origin not in ("default", "environment"):
            table.add_row("", "", origin)
    return table


def _value(each: Effective) -> str:
    if not each.value:
        return NOT_SET if each.setting.secret or not each.setting.default else "empty"
    return " ".join(filter(None, (one_line(each.value), each.setting.unit)))


def _fact(each: Effective) -> dict[str, object]:
    setting = each.setting
    return {
        "setting": setting.name,
        "variable": setting.variables[0],
        "value": each.value,
        "unit": setting.unit,
        "default": setting.default,
        "changed": each.changed,
        "origin": each.origin,
        "services": setting.services,
    }
