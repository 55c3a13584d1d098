"""`turnlog rebuild`: the read models anew from the log, and whether they came out the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from turnlog_cli import addresses
from turnlog_cli.errors import CommandError
from turnlog_cli.progress import Meter
from turnlog_cli.rebuild_report import told_rebuild, told_refold
from turnlog_cli.screen import Screen
from turnlog_eventstore import Store, StoreSettings
from turnlog_projector.build import RebuildOptions
from turnlog_projector.pace import PaceOptions
from turnlog_projector.rebuild import Progress, RebuildReport, rebuild, rollback
from turnlog_projector.refold import RefoldReport, refold
from turnlog_runtime.lifecycle import complete
from turnlog_runtime.logs import configure_logging
from turnlog_runtime.settings import ProjectorSettings, SharedSettings, load
from turnlog_views import SESSIONS, ViewWriter, WriterSettings, projection_named


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; `after` is `--from`. None of `events_per_s` and `keep_s`: as in the settings."""

    projection: str = SESSIONS.name
    compare: bool = True
    dry_run: bool = False
    rollback: bool = False
    after: int | None = None
    events_per_s: int | None = None
    keep_s: float | None = None

    def check(self) -> None:
        """Raise what tells that it makes no sense."""
        projection_named(self.projection)
        if sum((self.dry_run, self.rollback, self.after is not None)) > 1:
            raise CommandError("--dry-run, --rollback and --from do not go together")

    def options(self, own: ProjectorSettings) -> RebuildOptions:
        """With what the settings say otherwise."""
        rate = own.rebuild_events_per_s if self.events_per_s is None else self.events_per_s
        keep_s = own.rebuild_keep_s if self.keep_s is None else self.keep_s
        return RebuildOptions(pace=PaceOptions(rate), keep_s=keep_s, dry_run=self.dry_run)


def rebuild_views(settings: SharedSettings, data_dir: Path, log: str, screen: Screen, wanted: Wanted) -> int:
    """Rebuild and report; the exit status: 1 when the new read models differ from the live ones."""
    wanted.check()
    found = addresses.servers(settings, data_dir)
    noun = "events" if wanted.after is None else "sessions"
    with Meter(screen.err, "rebuilding", noun, None, quiet=screen.as_json) as meter:

        def progress(position: int, head: int) -> None:
            meter.at(position, position, head)

        if wanted.after is not None:
            refolded = complete(run_refold(found, settings, log, wanted.after, wanted, progress=progress))
        else:
            report = complete(run_rebuild(found, settings, log, wanted=wanted, progress=progress))
    if wanted.after is not None:
        told_refold(refolded, screen)
        return 1 if refolded.differing or refolded.restless else 0
    told_rebuild(report, wanted.rollback, screen)
    return 0 if report.comparison is None or report.comparison.identical else 1


async def run_rebuild(
    found: addresses.Addresses,
    settings: SharedSettings,
    log: str,
    *,
    wanted: Wanted = Wanted(),
    progress: Progress | None = None,
) -> RebuildReport:
    """One rebuild of a log's read models, or the way back."""
    options = wanted.options(load(ProjectorSettings))
    async with _store(found, settings) as store:
        writer = view_writer(found.redis_url, log)
        if wanted.rollback:
            return await rollback(store, writer, progress=progress, options=options)
        return await rebuild(store, writer, compare=wanted.compare, progress=progress, options=options)


async def run_refold(
    found: addresses.Addresses,
    settings: SharedSettings,
    log: str,
    after: int,
    wanted: Wanted,
    *,
    progress: Progress | None = None,
) -> RefoldReport:
    """The sessions with events after a position made anew in place."""
    options = wanted.options(load(ProjectorSettings))
    async with _store(found, settings) as store:
        return await refold(store, view_writer(found.redis_url, log), after, progress=progress, options=options)


@asynccontextmanager
async def _store(found: addresses.Addresses, settings: SharedSettings) -> AsyncIterator[Store]:
    configure_logging("turnlog", "critical")  # the report says it all; structlog's default would write between it
    store = await Store.open(found.database_url, StoreSettings(pool_connections=4, role=settings.database_role))
    try:
        yield store
    finally:
        await store.close()


def view_writer(redis_url: str, log: str) -> ViewWriter:
    """A writer with the projector's settings."""
    own = load(ProjectorSettings)
    return ViewWriter(redis_url, log, WriterSettings(window_turns=own.recent_turns, idle_ttl_s=own.view_idle_s))
