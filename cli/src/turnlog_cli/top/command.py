"""`turnlog top`: live in a terminal; elsewhere one look, or JSON, one object an interval."""

import asyncio
import dataclasses
from pathlib import Path

from rich.text import Text

from turnlog_cli.screen import Screen
from turnlog_cli.top.notes import place
from turnlog_cli.top.shown import Part, Room, labelled, parts_of
from turnlog_cli.top.view import View
from turnlog_cli.top.watching import Watch, watch_of
from turnlog_runtime.settings import SharedSettings


@dataclasses.dataclass(frozen=True)
class Wanted:
    """How it is asked for: `interval_s` between looks; `once`: rates over one interval, then the end."""

    urls: list[str]
    interval_s: float
    once: bool


def top(settings: SharedSettings, data_dir: Path, wanted: Wanted, screen: Screen) -> int:
    """Show it until it is ended; the exit status: 1 when one look found that nothing answers. Raises `CommandError`."""
    watch = watch_of(settings, data_dir, wanted.urls)
    if not screen.as_json and not wanted.once and screen.out.is_terminal:
        return asyncio.run(_live(watch, wanted))
    return asyncio.run(_told(watch, wanted, screen))


async def _live(watch: Watch, wanted: Wanted) -> int:
    from turnlog_cli.top.app import TopApp  # half a second that the other ways do not need

    title = ", ".join(map(place, wanted.urls)) or "this data folder"
    app = TopApp(watch.look, wanted.interval_s, title)
    try:
        await app.run_async()
    finally:
        await watch.close()
    if app.failed is not None:
        raise app.failed
    return 0


async def _told(watch: Watch, wanted: Wanted, screen: Screen) -> int:
    try:
        await watch.look()
        while True:
            await asyncio.sleep(wanted.interval_s)
            view = await watch.look(whole=True)
            screen.fact(dataclasses.asdict(view))
            if wanted.once or not screen.as_json:
                _print(view, screen)
                return 0 if any(not replica.away for replica in view.replicas) else 1
    finally:
        await watch.close()


def _print(view: View, screen: Screen) -> None:
    for note in view.notes:
        screen.say(f"! {note}", style="bold red")
    for part in parts_of(view, Room(columns=screen.out.width, sessions=5)):
        lines = labelled(part)
        if part.name == "Logs":  # a log's name stands where a part's does
            lines = [*labelled(Part(part.name, part.lines[:1])), *part.lines[1:]]
        for line in lines:
            screen.say(_whole(line))


def _whole(line: Text) -> Text:
    """The line for a file or a pipe: nothing is cut, nothing follows its last word."""
    line.no_wrap, line.overflow = False, "fold"
    line.rstrip()
    return line
