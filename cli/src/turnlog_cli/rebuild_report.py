"""What `turnlog rebuild` says at its end, for people and for machines."""

from collections.abc import Sequence

from turnlog_cli.screen import Screen, count, marked
from turnlog_projector.compare import Comparison
from turnlog_projector.rebuild import RebuildReport
from turnlog_projector.refold import RefoldReport

SESSIONS_SHOWN = 10


def told_rebuild(report: RebuildReport, back: bool, screen: Screen) -> None:
    """A rebuild, a dry run, or the way back."""
    compared = report.comparison
    screen.fact(
        {
            "generation": report.generation,
            "position": report.position,
            "resumed_at": report.resumed_at,
            "switched": report.switched,
            "kept_generation": report.kept,
            "keep_s": report.keep_s,
            "seconds": round(report.seconds, 3),
            "events_per_s": round(report.events_per_s, 1),
            "identical": None if compared is None else compared.identical,
            "digest": None if compared is None else compared.digest,
            "sessions": None if compared is None else compared.sessions,
            "differing": [] if compared is None else [*compared.differing, *compared.missing],
        }
    )
    _told_work(report, back, screen)
    _told_comparison(report, compared, back, screen)
    if not report.switched:
        screen.say("  a dry run: the read models served are those from before; the new ones are deleted")
    elif report.kept is not None:
        text = (
            f"  generation {report.kept} is kept for {report.keep_s:,.0f} s: `turnlog rebuild --rollback` switches back"
        )
        screen.say(text)


def _told_work(report: RebuildReport, back: bool, screen: Screen) -> None:
    built = count(report.position - report.resumed_at, "event")
    if back:
        text = f"back to generation {report.generation}, brought up to date by {built} in {report.seconds:.1f} s"
    else:
        text = (
            f"{built} rebuilt as generation {report.generation} in {report.seconds:.1f} s "
            f"({report.events_per_s:,.0f}/s)"
        )
        if report.resumed_at:
            text += f", continued from position {report.resumed_at:,}"
    screen.say(marked("✓", "green", text))


def _told_comparison(report: RebuildReport, compared: Comparison | None, back: bool, screen: Screen) -> None:
    if compared is None:
        if not back:
            screen.say("  not compared with the read models before")
    elif compared.identical:
        sessions = count(compared.sessions, "session")
        screen.say(marked("✓", "green", f"{sessions} byte for byte as before (digest {compared.digest[:16]})"))
    else:
        named = [*compared.differing, *compared.missing]
        what = "differed from before; the new ones are served" if report.switched else "differ"
        screen.say(marked("✗", "red", f"{count(len(named), 'session')} {what}:"))
        _list(named, screen)


def told_refold(report: RefoldReport, screen: Screen) -> None:
    """Sessions made anew in place."""
    screen.fact(
        {
            "from": report.after,
            "position": report.position,
            "sessions": report.sessions,
            "absent": report.absent,
            "differing": list(report.differing),
            "restless": list(report.restless),
            "seconds": round(report.seconds, 3),
        }
    )
    sessions = count(report.sessions, "session")
    text = f"{sessions} with events after position {report.after:,} made anew in {report.seconds:.1f} s"
    screen.say(marked("✓", "green", text))
    if report.absent:
        screen.say(f"  {count(report.absent, 'session')} had not been in Redis")
    if report.differing:
        screen.say(marked("✗", "red", f"{count(len(report.differing), 'session')} differed from the log before:"))
        _list(report.differing, screen)
    else:
        screen.say(marked("✓", "green", "none differed from the log"))
    if report.restless:
        screen.say(marked("✗", "red", f"{count(len(report.restless), 'session')} could not be made anew; try again:"))
        _list(report.restless, screen)


def _list(sessions: Sequence[str], screen: Screen) -> None:
    for session in sessions[:SESSIONS_SHOWN]:
        screen.say(f"  {session}")
    if len(sessions) > SESSIONS_SHOWN:
        screen.say(f"  … and {len(sessions) - SESSIONS_SHOWN:,} more; --json lists them")
