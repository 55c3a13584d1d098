"""`turnlog doctor`: how everything is, what that means for users, and what to do about what is wrong."""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from importlib import import_module
from pathlib import Path

from rich.table import Table
from rich.text import Text

from turnlog_cli import addresses
from turnlog_cli.diagnosis import look_at_api, of_logs
from turnlog_cli.diagnosis.findings import Finding, State, bad, not_reached, note, well
from turnlog_cli.diagnosis.judge_logs import Followed, judge_compressor
from turnlog_cli.diagnosis.look_at_nats import nats_server
from turnlog_cli.diagnosis.look_at_postgres import postgres_server
from turnlog_cli.diagnosis.look_at_redis import redis
from turnlog_cli.errors import CommandError
from turnlog_cli.screen import Screen, count
from turnlog_eventstore import LogHead, SchemaMissing, Store, StoreError, StoreSettings, UnknownLog
from turnlog_runtime.settings import SharedSettings

COMPRESSOR = "compressor"
"""The name of the compressor's checkpoint (`turnlog_compressor.compressor.CONSUMER`; importing it costs a second)."""
MARKS = {State.OK: ("✓", "green"), State.NOTE: ("•", "yellow"), State.BAD: ("✗", "red")}
STEP_S = 12.0


def examine_all(settings: SharedSettings, data_dir: Path, url: str | None, log: str | None, screen: Screen) -> int:
    """Look at everything, of all logs or one, and tell; the exit status: 1 when something needs somebody."""
    findings = examine(settings, data_dir, url, log)
    for finding in findings:
        screen.fact(finding.as_fact())
        if not screen.as_json:
            _tell(finding, screen)
    wrong = sum(finding.state is State.BAD for finding in findings)
    known = sum(finding.state is State.NOTE for finding in findings)
    if wrong:
        verb = "needs" if wrong == 1 else "need"
        screen.say(
            Text(f"\n{count(wrong, 'finding')} {verb} somebody" + (f", {known} to know of" if known else ""), "red")
        )
    elif known:
        screen.say(Text(f"\nnothing needs somebody; {known} to know of", style="green"))
    else:
        screen.say(Text("\nall is well", style="green"))
    return 1 if wrong else 0


def examine(settings: SharedSettings, data_dir: Path, url: str | None, log: str | None) -> list[Finding]:
    """What there is to say of everything, of all logs or one."""
    newest_schema = str(import_module("turnlog_migrations").latest())  # takes a second: not in somebody's deadline
    return asyncio.run(_look(settings, data_dir, url, log, newest_schema))


def _tell(finding: Finding, screen: Screen) -> None:
    mark, style = MARKS[finding.state]
    lines = [] if finding.state is State.OK else [finding.means, f"→ {finding.advice}" if finding.advice else ""]
    lines += [finding.read] if finding.state is not State.OK else []
    lines = [line for line in lines if line]
    if not screen.out.is_terminal:
        screen.say(f"{mark} {finding.subject:<12} {finding.text}")
        for line in lines:
            screen.say(f"  {'':<12} {line}")
        return
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1, style=style)
    row.add_column(width=12, style="bold")
    row.add_column()
    row.add_row(mark, finding.subject, finding.text)
    for line in lines:
        shown = Text(line, style="dim" if line == finding.read else "")
        row.add_row("", "", shown)
    screen.out.print(row)


async def _look(
    settings: SharedSettings, data_dir: Path, url: str | None, log: str | None, newest_schema: str
) -> list[Finding]:
    running = addresses.running_in(data_dir)
    findings = [_folder(data_dir, running), *await look_at_api.disk(data_dir), *look_at_api.settings_here()]
    api = url or os.environ.get(addresses.URL_VARIABLE) or (running.url if running else "")
    asked = _within("API", look_at_api.api(api.rstrip("/"), settings)) if api else _nothing()
    try:
        found = addresses.servers(settings, data_dir)
    except CommandError as error:
        means = "Nothing more can be looked at from here."
        return [*findings, *await asked, bad("servers", str(error).split(":")[0], means, _advice(error), "the-api")]
    of_api, of_stores = await asyncio.gather(asked, _stores(found, settings, log, newest_schema))
    return [*findings, *of_api, *of_stores]


async def _stores(
    found: addresses.Addresses, settings: SharedSettings, only: str | None, newest_schema: str
) -> list[Finding]:
    """PostgreSQL, NATS and Redis, and what follows each log; all at once, each bounded."""
    store = await Store.open(found.database_url, StoreSettings(pool_connections=4, role=settings.database_role))
    try:
        heads, of_logs_found = await _heads(store, only)
        server = (
            _within("PostgreSQL", postgres_server(found.database_owner_url, newest_schema))
            if heads is not None
            else _nothing()
        )
        known = heads or []
        parts = await asyncio.gather(
            server,
            _within("NATS", nats_server(found.nats_url, store, known)),
            _within("Redis", redis(found.redis_url, store, known)),
            _within("leaders", _leaders(found, settings, known)),
            _within("keys", look_at_api.keys(found, settings)) if heads is not None else _nothing(),
        )
    finally:
        await store.close()
    return [*parts[0], *of_logs_found, *(finding for part in parts[1:] for finding in part)]


async def _heads(store: Store, only: str | None) -> tuple[list[LogHead] | None, list[Finding]]:
    """The head of each log and how far the compressor is; None when PostgreSQL does not answer services."""
    try:
        names = [only] if only is not None else await store.logs()
        heads = [await store.head(name) for name in names]
        done = [await store.checkpoint(name, COMPRESSOR) for name in names]
    except SchemaMissing:
        means = "No service can work: each call is 503."
        return [], [
            bad("schema", "PostgreSQL holds no schema of Turnlog", means, "run `turnlog migrate`", "postgresql")
        ]
    except UnknownLog as error:
        means = "Callers of this log get 404."
        advice = "`turnlog logs list` names those there are; check --log and TURNLOG_LOG"
        return [], [bad("log", f"PostgreSQL has no log {error.log}", means, advice, "postgresql")]
    except StoreError as error:
        return None, [_postgres_away(error)]
    findings = []
    for head, compressed in zip(heads, done, strict=True):
        text = f"{head.log} at position {head.position:,} (incarnation {head.incarnation[:12]})"
        facts = {"position": head.position, "incarnation": head.incarnation}
        findings += [
            well("log", text, log=head.log, **facts),
            judge_compressor(Followed(head.log, compressed, head.position)),
        ]
    return heads, findings


def _postgres_away(error: object) -> Finding:
    return bad(
        "PostgreSQL",
        not_reached("PostgreSQL", error),
        "Writes are refused with 503: nothing is stored, nothing is lost, clients may retry. Recent turns are read "
        "from Redis, marked stale; older ones are 503.",
        "start it and see its log (logs/postgres.log for `turnlog up`); check TURNLOG_DATABASE_URL; is its disk full?",
        "postgresql",
    )


async def _leaders(found: addresses.Addresses, settings: SharedSettings, heads: Sequence[LogHead]) -> list[Finding]:
    if not heads:
        return []
    try:
        return await of_logs.leaders(found.database_url, settings.database_role, [head.log for head in heads])
    except StoreError:
        return []  # said of PostgreSQL above


async def _within(subject: str, looking: Awaitable[list[Finding]]) -> list[Finding]:
    """The findings, or that there was no answer in time."""
    try:
        return await asyncio.wait_for(looking, STEP_S)
    except TimeoutError:
        means = "Whoever needs it waits as long as its deadline, then goes without or is refused."
        advice = "is it paused (`kill -CONT`), overloaded, or behind a firewall that swallows packets?"
        return [bad(subject, f"gave no whole answer within {STEP_S:g} s", means, advice, "the-api")]


async def _nothing() -> list[Finding]:
    return []


def _advice(error: CommandError) -> str:
    return str(error).split(": ", 1)[-1]


def _folder(data_dir: Path, running: addresses.Addresses | None) -> Finding:
    place = data_dir.expanduser().resolve()
    if running is None:
        means = "Nothing is wrong if Turnlog runs elsewhere; then the servers' addresses come from the settings."
        return note("data folder", f"{place}: nothing runs here", means, "`turnlog up` starts everything", "the-api")
    return well("data folder", f"{place}: `turnlog up` runs as process {running.pid}", pid=running.pid, url=running.url)
