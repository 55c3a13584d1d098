"""The command line: names, options and help of each command, and the one place that ends a command with an error."""

import io
import shutil
import sys
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnlog_cli.backup_commands import backup, restore
from turnlog_cli.key_commands import keys
from turnlog_cli.log_commands import logs, tenants
from turnlog_cli.options import AsJson, DataDir, Log, Url
from turnlog_cli.options import folder as _folder
from turnlog_cli.options import screen as _screen
from turnlog_cli.options import settings_of_all as _settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from turnlog_cli.addresses import Api

app = typer.Typer(
    name="turnlog",
    help="Turnlog, the memory log of AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Service(StrEnum):
    """The services whose settings can be asked for."""

    INGEST = "ingest"
    QUERY = "query"
    PROJECTOR = "projector"
    COMPRESSOR = "compressor"
    MCP = "mcp"


app.add_typer(keys)
app.add_typer(logs)
app.add_typer(tenants)
app.command()(backup)
app.command()(restore)


@app.command()
def up(
    data_dir: DataDir = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="HTTP port; 0: any.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="The services' JSON logs on standard error.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start everything on this machine and serve until Ctrl-C.

    Starts PostgreSQL, NATS and Valkey under the data folder unless DATABASE_URL, NATS_URL or REDIS_URL name them.
    """
    import os

    from turnlog_cli.stack import Plan
    from turnlog_cli.up import up as run
    from turnlog_runtime.settings import check_all

    check_all(os.environ)  # now and all at once, not in each service's log
    settings = _settings()
    plan = Plan(_folder(data_dir), settings, settings.port if port is None else port, verbose)
    run(plan, _screen(as_json))


@app.command()
def mcp(url: Url = None, data_dir: DataDir = None) -> None:
    """Serve MCP on standard input and output, for clients that start it themselves.

    Calls the API at TURNLOG_URL with TURNLOG_API_KEY; without an address what runs in the data folder, and starts
    everything there when nothing does. Ends when its input does.
    """
    from turnlog_cli.speaking_mcp import speak_mcp

    speak_mcp(_settings(), url, _folder(data_dir))


@app.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="A conversation in import format (default: our sample).")] = None,
) -> None:
    """Show the main job on real servers in a temporary folder: store, read, recover, rebuild, verify."""
    from turnlog_cli.demo import demo as run

    _settings()
    run(file, _screen(False))


@app.command()
def migrate(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Bring the database's schema up to this release (`up` does so by itself)."""
    from turnlog_cli.migrating import migrate_database

    migrate_database(_settings(), _folder(data_dir), _screen(as_json))


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="NDJSON, one turn a line with its session_id; - is standard input.")],
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Load turns from a file. Safe to repeat: what is stored is not added twice.

    Ends with 1 when lines were refused; all others are stored.
    """
    from turnlog_cli.importing import import_file

    _settings()
    raise typer.Exit(import_file(file, _api(url, data_dir), _screen(as_json)))


@app.command()
def export(
    file: Annotated[str, typer.Argument(help="Where to write; - is standard output.")] = "-",
    session: Annotated[list[str] | None, typer.Option("--session", help="Only this session; may be repeated.")] = None,
    retracted: Annotated[bool, typer.Option("--with-retracted", help="Also turns that were taken back.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    log: Log = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Write turns in import format, one a line, in the order of the log."""
    from turnlog_cli.exporting import Selection, export_file

    settings = _settings()
    chosen = Selection(log or settings.log, frozenset(session or ()), retracted)
    export_file(file, chosen, _api(url, data_dir), _screen(False), force=force)


@app.command()
def tail(
    log: Log = None,
    after: Annotated[int | None, typer.Option("--after", min=0, help="Begin after this position.")] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="Begin with the newest N events.")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes.")] = True,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Follow the events of a log, one a line."""
    from turnlog_cli.tailing import Start, tail_log

    settings = _settings()
    tail_log(settings, _folder(data_dir), log or settings.log, Start(after, last, follow), _screen(as_json))


@app.command()
def rebuild(
    log: Log = None,
    compare: Annotated[bool, typer.Option("--compare/--no-compare", help="Hold the new models to the old.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build, compare, report and delete; switch nothing.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Switch back to the read models kept before.")] = False,
    after: Annotated[
        int | None, typer.Option("--from", min=0, help="Only sessions with events after this position, in place.")
    ] = None,
    projection: Annotated[str, typer.Option("--projection", help="Which projection.")] = "sessions",
    rate: Annotated[
        int | None, typer.Option("--rate", min=0, help="Events a second at most; 0: no limit (default: settings).")
    ] = None,
    keep: Annotated[
        float | None, typer.Option("--keep", min=0, help="Seconds to keep the present ones (default: settings).")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Build the read models anew from the log, beside the live ones, then switch. Ends with 1 if they differed.

    Reads and writes go on meanwhile. A rebuild that was interrupted goes on where it was.
    """
    from turnlog_cli.rebuilding import Wanted, rebuild_views

    settings = _settings()
    wanted = Wanted(projection, compare, dry_run, rollback, after, rate, keep)
    raise typer.Exit(rebuild_views(settings, _folder(data_dir), log or settings.log, _screen(as_json), wanted))


@app.command()
def verify(log: Log = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Recompute every hash and every read model from the log and compare. Ends with 1 if anything differs."""
    from turnlog_cli.verifying import verify_log

    settings = _settings()
    raise typer.Exit(verify_log(settings, _folder(data_dir), log or settings.log, _screen(as_json)))


@app.command()
def openapi(
    markdown: Annotated[bool, typer.Option("--markdown", help="The page for people instead of JSON.")] = False,
) -> None:
    """Print the OpenAPI document of the HTTP API. Needs no server."""
    import asyncio
    import json

    from turnlog_cli.api_document import document, reference

    found = asyncio.run(document())
    sys.stdout.write(reference(found) if markdown else json.dumps(found, indent=2, ensure_ascii=False) + "\n")


@app.command("config")
def show_config(
    service: Annotated[Service | None, typer.Option("--service", help="Only what this service reads.")] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The reference page of all settings instead.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the settings in effect and where each came from, passwords hidden. Ends with 2 if any is wrong."""
    if markdown:
        from turnlog_cli.settings_page import page

        sys.stdout.write(page())
        return
    from turnlog_cli.configuration import tell_settings

    tell_settings(service.value if service else None, data_dir, changed=changed, screen=_screen(as_json))


@app.command()
def top(
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="A service that serves /metrics; may be repeated (default: of the data folder)."),
    ] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, over one interval, then the end.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show live what a running Turnlog does: rates, times, lags, leaders, summaries, limits, replicas, servers.

    In a terminal: q quits, p pauses, l goes on to the next log. Without one it looks once. With --json: one object an
    interval.
    """
    from turnlog_cli.top.command import Wanted
    from turnlog_cli.top.command import top as run

    settings = _settings()
    raise typer.Exit(run(settings, _folder(data_dir), Wanted(url or [], interval, once), _screen(as_json)))


@app.command()
def doctor(
    url: Url = None,
    log: Annotated[str | None, typer.Option("--log", help="Only this log (default: all).")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is reachable, versions, positions and lags, and what to do. Ends with 1 if something needs it."""
    from turnlog_cli.doctor import examine_all

    settings = _settings()
    raise typer.Exit(examine_all(settings, _folder(data_dir), url, log, _screen(as_json)))


def main() -> None:
    """Run the command named in the arguments."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no ✓ shall not end a command
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)  # the reader of our output left, as `head` does
    except Exception as error:
        from turnlog_cli.errors import told

        if (end := told(error)) is None:
            raise
        sys.stderr.write(_fitting(f"turnlog: {end}") + "\n")
        sys.exit(end.status)


def _fitting(text: str) -> str:
    """The text broken at words to fit the terminal; as it is for a file or a pipe."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = [textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False) for line in text.splitlines()]
    return "\n".join(lines)


def _api(url: str | None, data_dir: Path | None) -> "Api":
    from turnlog_cli.addresses import api

    return api(url, _folder(data_dir))
