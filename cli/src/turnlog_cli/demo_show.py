"""What the demo prints: panels on a terminal, plain text elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from turnlog_cli.demo_rates import Rate
from turnlog_cli.escape import many_lines, one_line
from turnlog_cli.event_line import content_text
from turnlog_cli.screen import Screen, marked
from turnlog_cli.up import told_as

TEXT_LINES = 22
SILENT = ("server_started", "migrated")


class Show:
    """The demo's voice."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._boxed = screen.out.is_terminal

    def tell(self, event: str, **facts: object) -> None:
        """What the stack reports."""
        if event not in SILENT and (line := told_as(event, facts)) is not None:
            self._screen.say(line)

    def title(self, name: str) -> None:
        """What this is."""
        self._screen.say(Text(f"Turnlog demo: {one_line(name)}", style="bold"))
        self._screen.say("real servers in a temporary folder, which is removed at the end\n", style="dim")

    def heading(self, text: str) -> None:
        """A new part."""
        self._screen.say(Text(f"\n{text}", style="bold"))

    def done(self, text: str, seconds: float | None = None) -> None:
        """Something was reached."""
        took = "" if seconds is None else f"  ({_duration(seconds)})"
        self._screen.say(marked("✓", "green", text + took))

    def note(self, text: str) -> None:
        """Something happens."""
        self._screen.say(marked("•", "yellow", text))

    def turns(self, session: str, answer: Mapping[str, Any]) -> None:
        """Recent turns as a conversation."""
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(style="bold", max_width=12)
        table.add_column(ratio=1)
        plain = []
        for turn in answer["turns"]:
            who, text = one_line(turn.get("name") or turn["role"]), one_line(content_text(turn["content"]))
            table.add_row(str(turn["version"]), who, text)
            plain.append(f"{turn['version']:>4} {who}: {text}")
        title = f"Recent turns of {one_line(session)}, {len(answer['turns'])} of {answer['version']}"
        self._section(title, table, plain, f"GET /v1/sessions/{session}/turns, from {answer['source']}")

    def summary(self, answer: Mapping[str, Any], state: str, seconds: float) -> None:
        """The rolling summary and where it comes from."""
        lines = many_lines(answer["text"]).split("\n")
        title = f"Summary of turns 1 to {answer['covered_to']}, {answer['tokens']} tokens"
        models = ", ".join(sorted({node["model"] for node in answer["nodes"]})) or "none"
        note = f"asked for, {state} after {_duration(seconds)}; {len(answer['nodes'])} parts, by {models}"
        self._section(title, Text("\n".join(_cut(lines))), _cut(lines), note)

    def context(self, answer: Mapping[str, Any]) -> None:
        """What would be put into a prompt."""
        lines = many_lines(answer["text"]).split("\n")
        title = f"Context for a prompt, {answer['tokens']} of at most {answer['max_tokens']} tokens"
        turns, left_out = answer["turns"], answer["left_out"]
        note = f"turns {turns['from_version']} to {turns['to_version']} in full" if turns else "no turns in full"
        if answer["summary"]:
            note = f"summary up to turn {answer['summary']['to_version']}, {note}"
        if left_out:
            note += f"; turns {left_out['from_version']} to {left_out['to_version']} left out"
        self._section(title, Text("\n".join(_cut(lines))), _cut(lines), note)

    def rates(self, rates: Sequence[Rate]) -> None:
        """The figures, and what they are worth."""
        self.heading("Rates here, with the client on the same machine (`make bench` measures properly)")
        for rate in rates:
            value = f"{rate.value:,.1f}" if rate.value < 100 else f"{rate.value:,.0f}"
            self._screen.say(f"  {value:>8} {rate.unit:<9} {rate.name}")
        self._screen.say()

    def _section(self, title: str, boxed: Table | Text, plain: Sequence[str], note: str) -> None:
        self._screen.say()
        if self._boxed:
            panel = Panel(
                boxed,
                title=Text(title, style="bold"),
                title_align="left",
                subtitle=Text(one_line(note), style="dim"),
                subtitle_align="left",
                box=box.ROUNDED,
            )
            self._screen.out.print(panel)
            return
        self._screen.say(f"{title}\n({note})")
        for line in plain:
            self._screen.say(f"  {line}")


def _cut(lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= TEXT_LINES:
        return lines
    head, rest = TEXT_LINES // 2, TEXT_LINES - TEXT_LINES // 2
    return [*lines[:head], f"… {len(lines) - TEXT_LINES} lines …", *lines[-rest:]]


def _duration(seconds: float) -> str:
    return f"{1_000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
