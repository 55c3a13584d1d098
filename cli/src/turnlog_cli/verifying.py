"""`turnlog verify`: every hash and every read model, recomputed from the log and compared."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from turnlog_cli import addresses
from turnlog_cli.escape import one_line
from turnlog_cli.progress import Meter
from turnlog_cli.rebuilding import view_writer
from turnlog_cli.screen import Screen, count, marked
from turnlog_eventstore import Store, StoreSettings
from turnlog_projector.rebuild import Progress
from turnlog_projector.verify import Difference, VerifyOptions, VerifyReport, verify
from turnlog_runtime.lifecycle import complete
from turnlog_runtime.settings import SharedSettings

SHOWN_OF_A_KIND = 5


def verify_log(settings: SharedSettings, data_dir: Path, log: str, screen: Screen) -> int:
    """Verify and report; the exit status: 1 when anything differs."""
    found = addresses.servers(settings, data_dir)
    with Meter(screen.err, "verifying", "events", None, quiet=screen.as_json) as meter:

        def progress(position: int, head: int) -> None:
            meter.at(position, position, head)

        report = complete(run_verify(found, settings, log, progress=progress))
    _report(report, screen)
    return 0 if report.ok else 1


async def run_verify(
    found: addresses.Addresses, settings: SharedSettings, log: str, *, progress: Progress | None = None
) -> VerifyReport:
    """One verification of a log."""
    store = await Store.open(found.database_url, StoreSettings(pool_connections=8, role=settings.database_role))
    try:
        return await verify(store, view_writer(found.redis_url, log), progress=progress)
    finally:
        await store.close()


def few_of_each(differences: Sequence[Difference]) -> list[Difference]:
    """The first few of each kind: when all read models are behind, one line for each would hide everything else."""
    seen: Counter[str] = Counter()
    shown = []
    for difference in differences:
        seen[difference.what] += 1
        if seen[difference.what] <= SHOWN_OF_A_KIND:
            shown.append(difference)
    return shown


def _report(report: VerifyReport, screen: Screen) -> None:
    screen.fact(
        {
            "ok": report.ok,
            "position": report.position,
            "sessions": report.sessions,
            "absent": report.absent,
            "differing": report.differing,
            "differences": [
                {"what": d.what, "where": d.where, "expected": d.expected, "found": d.found} for d in report.differences
            ],
            "seconds": round(report.seconds, 3),
        }
    )
    checked = f"{count(report.position, 'event')}, {count(report.sessions, 'session')}, {report.seconds:.1f} s"
    if report.ok:
        screen.say(marked("✓", "green", f"hashes, chain and read models are as the log says ({checked})"))
        if report.absent:
            screen.say(f"  {count(report.absent, 'session')} not in Redis: their reads come from PostgreSQL")
        return
    screen.say(marked("✗", "red", f"{count(report.differing, 'difference')} ({checked})"))
    shown = few_of_each(report.differences)
    for difference in shown:
        screen.say(f"  {one_line(difference.where)}: {difference.what}")
        screen.say(
            f"    expected {one_line(difference.expected)}\n    found    {one_line(difference.found)}", style="dim"
        )
    if report.differing > len(shown):
        screen.say(
            f"  … and {report.differing - len(shown):,} more; --json lists up to {VerifyOptions().differences_max}"
        )
    screen.say(
        "Read models that differ are made anew by `turnlog rebuild`. A hash that differs means that history was "
        "changed in PostgreSQL itself: restore it from a backup, and find out who could."
    )
