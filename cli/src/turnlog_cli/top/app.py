"""The live view in a terminal."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Footer, Static

from turnlog_cli.top.history import History
from turnlog_cli.top.shown import LABEL, Part, Room, labelled, parts_of
from turnlog_cli.top.view import View

NAMES = ("Requests", "Writes", "Reads", "Summaries", "Logs", "Callers", "Replicas", "Servers", "Sessions")
WIDE_COLUMNS, TALL_LINES = 120, 36
NOTES, FRAME, BORDERS = 4, 2, 2


class TopApp(App[None]):
    """Looks every `interval_s` seconds and shows what it sees, until q."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
        Binding("p,space", "pause", "pause", key_display="p"),
        Binding("l", "log(1)", "next log"),
        Binding("L", "log(-1)", "log before", show=False),
    ]
    CSS = """
    #head, #notes { height: auto; }
    #notes { color: ansi_red; text-style: bold; }
    #parts { height: 1fr; scrollbar-size-vertical: 1; }
    .part, #head, #notes { text-wrap: nowrap; text-overflow: ellipsis; }
    .part { height: auto; width: 1fr; }
    .roomy #parts { layout: grid; grid-size: 2; grid-rows: auto; }
    .roomy .part { border: round ansi_bright_black; border-title-style: bold; padding: 0 1; height: 100%; }
    .roomy #logs { column-span: 2; }
    """

    def __init__(self, look: Callable[[], Awaitable[View]], interval_s: float, title: str) -> None:
        super().__init__()
        self._look, self._interval_s, self._title = look, interval_s, title
        self._history = History()
        self._view: View | None = None
        self._chosen = ""
        self.paused = False
        self.failed: Exception | None = None
        """A defect that ended it."""

    def compose(self) -> ComposeResult:
        """A line on top, what is wrong, the parts, the keys."""
        yield Static(id="head")
        yield Static(id="notes")
        with VerticalScroll(id="parts"):
            for name in NAMES:
                part = Static(id=name.lower(), classes="part")
                part.border_title = name
                yield part
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self.theme = "ansi-dark"
        self.query_one("#parts").focus()
        self._head()
        self.run_worker(self._watch())

    def on_resize(self) -> None:
        """Lay it out for the new size."""
        self._draw()

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self.paused = not self.paused
        self._head()

    def action_log(self, step: int) -> None:
        """Draw the next log's history."""
        names = [log.log for log in self._view.logs] if self._view else []
        if names:
            at = names.index(self._chosen) if self._chosen in names else 0
            self._chosen = names[(at + step) % len(names)]
            self._draw()

    async def _watch(self) -> None:
        try:
            await self._look_again_and_again()
        except Exception as error:  # to be told by whoever runs us: Textual would print every local variable
            self.failed = error
            self.exit()

    async def _look_again_and_again(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            view = await self._look()
            if view.passed_s:
                self._history.note(view)
            if not self.paused:
                self._view = view
                self._draw()
            quick = not view.passed_s  # rates come with the second look
            await asyncio.sleep(
                max(0.0, (min(1.0, self._interval_s) if quick else self._interval_s) - loop.time() + began_s)
            )

    def _draw(self) -> None:
        self._head()
        if self._view is None:
            return
        width, height = self.size
        roomy = width >= WIDE_COLUMNS and height >= TALL_LINES
        self.screen.set_class(roomy, "roomy")
        notes = self._view.notes[:NOTES]
        more = len(self._view.notes) - len(notes)
        said = [f"! {note}" for note in notes] + ([f"! and {more} more"] if more else [])
        shown = self.query_one("#notes", Static)
        shown.update(_joined([Text(line, no_wrap=True, overflow="ellipsis") for line in said]))
        shown.display = bool(said)
        room = Room(width - 6 if roomy else width, logs=max(1, height // 6))
        parts = parts_of(self._view, room, self._chosen, self._history)
        if (spare := height - FRAME - len(said) - _height(parts, roomy=roomy)) > 0:
            room = dataclasses.replace(room, sessions=room.sessions + spare)
            parts = parts_of(self._view, room, self._chosen, self._history)
        for part in parts:
            self.query_one(f"#{part.name.lower()}", Static).update(_joined(_lines(part, roomy=roomy)))

    def _head(self) -> None:
        pace = "PAUSED, p goes on" if self.paused else f"every {self._interval_s:g} s"
        at = datetime.fromisoformat(self._view.at).strftime("%H:%M:%S") if self._view else "first look …"
        head = Text.assemble(("turnlog top", "bold"), f" · {self._title} · {pace}", no_wrap=True, overflow="ellipsis")
        room = self.size.width - len(at) - 2
        head.truncate(max(0, room), overflow="ellipsis", pad=True)
        self.query_one("#head", Static).update(Text.assemble(head, "  ", at, no_wrap=True))


def _height(parts: Sequence[Part], *, roomy: bool) -> int:
    """The lines that the parts take: below each other, or with borders, two side by side but for the logs."""
    if not roomy:
        return sum(len(part.lines) for part in parts)
    lines = {part.name: len(part.lines) + BORDERS for part in parts}
    rows = [("Requests", "Writes"), ("Reads", "Summaries"), ("Logs",), ("Callers", "Replicas"), ("Servers", "Sessions")]
    return sum(max(lines[name] for name in row) for row in rows)


def _lines(part: Part, *, roomy: bool) -> list[Text]:
    """With the part's name in front, unless that stands in its border; a log's name stands there as it is."""
    if part.name != "Logs":
        return list(part.lines) if roomy else labelled(part)
    return labelled(Part(" " * LABEL if roomy else part.name, part.lines[:1])) + list(part.lines[1:])


def _joined(lines: list[Text]) -> Text:
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
