"""`turnlog doctor`: what is reachable, versions, positions and lags, and what to do about what is wrong."""

import asyncio
import os
from collections.abc import Awaitable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from turnlog_cli import addresses, examine
from turnlog_cli.errors import CommandError
from turnlog_cli.findings import Finding, State
from turnlog_cli.screen import Screen
from turnlog_runtime.settings import SharedSettings

MARKS = {State.OK: ("✓", "green"), State.NOTE: ("•", "yellow"), State.BAD: ("✗", "red")}
STEP_S = 10.0


def examine_all(settings: SharedSettings, data_dir: Path, url: str | None, log: str | None, screen: Screen) -> int:
    """Look at everything, of all logs or one, and tell; the exit status: 1 when something needs somebody."""
    findings = asyncio.run(_look(settings, data_dir, url, log))
    for finding in findings:
        screen.fact(
            {
                "subject": finding.subject,
                "state": finding.state.value,
                "text": finding.text,
                "advice": finding.advice,
                **finding.facts,
            }
        )
        if not screen.as_json:
            _tell(finding, screen)
    bad = sum(finding.state is State.BAD for finding in findings)
    if not bad:
        screen.say(Text("all is well", style="green"))
    return 1 if bad else 0


def _tell(finding: Finding, screen: Screen) -> None:
    mark, style = MARKS[finding.state]
    advice = f"→ {finding.advice}" if finding.advice and finding.state is not State.OK else ""
    if not screen.out.is_terminal:
        screen.say(f"{mark} {finding.subject:<12} {finding.text}")
        if advice:
            screen.say(f"  {'':<12} {advice}")
        return
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1, style=style)
    row.add_column(width=12, style="bold")
    row.add_column()
    row.add_row(mark, finding.subject, finding.text)
    if advice:
        row.add_row("", "", advice)
    screen.out.print(row)


async def _look(settings: SharedSettings, data_dir: Path, url: str | None, log: str | None) -> list[Finding]:
    running = addresses.running_in(data_dir)
    findings = [_folder(data_dir, running)]
    api = url or os.environ.get(addresses.URL_VARIABLE) or (running.url if running else "")
    if api:
        findings += await _within("API", examine.api(api))
    try:
        found = addresses.servers(settings, data_dir)
    except CommandError as error:
        return [*findings, Finding("servers", State.BAD, str(error))]
    heads, stored = await examine.postgres(found, settings, log)
    findings += stored
    for subject, looking in (
        ("NATS", examine.nats_server(found, settings, heads)),
        ("Redis", examine.redis(found.redis_url, heads)),
    ):
        findings += await _within(subject, looking)
    return findings


async def _within(subject: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings, or that there was no answer in time."""
    try:
        return await asyncio.wait_for(looking, STEP_S)
    except TimeoutError:
        return [Finding(subject, State.BAD, f"no answer within {STEP_S:g} s", "is it paused or overloaded?")]


def _folder(data_dir: Path, running: addresses.Addresses | None) -> Finding:
    place = data_dir.expanduser().resolve()
    if running is None:
        return Finding("data folder", State.NOTE, f"{place}: nothing runs here", "`turnlog up` starts everything")
    facts = {"pid": running.pid, "url": running.url}
    return Finding("data folder", State.OK, f"{place}: `turnlog up` runs as process {running.pid}", facts=facts)
