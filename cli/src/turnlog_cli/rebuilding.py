"""`turnlog rebuild`: the read models anew from the log, and whether they came out the same."""

from pathlib import Path

from turnlog_cli import addresses
from turnlog_cli.progress import Meter
from turnlog_cli.screen import Screen, count, marked
from turnlog_eventstore import Store, StoreSettings
from turnlog_projector.rebuild import Progress, RebuildReport, rebuild
from turnlog_runtime.lifecycle import complete
from turnlog_runtime.settings import ProjectorSettings, SharedSettings, load
from turnlog_views import ViewWriter, WriterSettings

SESSIONS_SHOWN = 10


def rebuild_views(settings: SharedSettings, data_dir: Path, log: str, screen: Screen, *, compare: bool) -> int:
    """Rebuild and report; the exit status: 1 when the new read models differ from the live ones."""
    found = addresses.servers(settings, data_dir)
    with Meter(screen.err, "rebuilding", "events", None, quiet=screen.as_json) as meter:

        def progress(position: int, head: int) -> None:
            meter.at(position, position, head)

        report = complete(run_rebuild(found, settings, log, progress=progress, compare=compare))
    _report(report, screen)
    return 0 if report.comparison is None or report.comparison.identical else 1


async def run_rebuild(
    found: addresses.Addresses,
    settings: SharedSettings,
    log: str,
    *,
    compare: bool = True,
    progress: Progress | None = None,
) -> RebuildReport:
    """One rebuild of a log's read models."""
    store = await Store.open(found.database_url, StoreSettings(pool_connections=4, role=settings.database_role))
    try:
        return await rebuild(store, view_writer(found.redis_url, log), compare=compare, progress=progress)
    finally:
        await store.close()


def view_writer(redis_url: str, log: str) -> ViewWriter:
    """A writer with the projector's settings."""
    own = load(ProjectorSettings)
    return ViewWriter(redis_url, log, WriterSettings(window_turns=own.recent_turns, idle_ttl_s=own.view_idle_s))


def _report(report: RebuildReport, screen: Screen) -> None:
    compared = report.comparison
    screen.fact(
        {
            "generation": report.generation,
            "position": report.position,
            "seconds": round(report.seconds, 3),
            "events_per_s": round(report.events_per_s, 1),
            "identical": None if compared is None else compared.identical,
            "digest": None if compared is None else compared.digest,
            "sessions": None if compared is None else compared.sessions,
            "differing": [] if compared is None else [*compared.differing, *compared.missing],
        }
    )
    text = (
        f"{count(report.position, 'event')} rebuilt as generation {report.generation} in {report.seconds:.1f} s "
        f"({report.events_per_s:,.0f}/s)"
    )
    screen.say(marked("✓", "green", text))
    if compared is None:
        screen.say("  not compared with the read models before")
    elif compared.identical:
        sessions = count(compared.sessions, "session")
        screen.say(marked("✓", "green", f"{sessions} byte for byte as before (digest {compared.digest[:16]})"))
    else:
        named = [*compared.differing, *compared.missing]
        screen.say(marked("✗", "red", f"{count(len(named), 'session')} differed from before; the new ones are served:"))
        for session in named[:SESSIONS_SHOWN]:
            screen.say(f"  {session}")
