"""Where commands print: words for people, or one JSON object a line for machines. Never both.

No colour without a terminal (rich sees to it, and to NO_COLOR), no markup in what is printed: text from turns would
be read as markup otherwise.
"""

import sys
from collections.abc import Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from turnlog_cli.escape import json_shown


class Screen:
    """Standard output and standard error of one command."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = Console(markup=False, highlight=False, emoji=False)
        self.err = Console(stderr=True, markup=False, highlight=False, emoji=False)

    def say(self, text: str | Text = "", style: str | None = None) -> None:
        """A line for people, none when the output is for machines. Broken at words on a terminal, else left whole."""
        if not self.as_json:
            self.out.print(text, style=style, soft_wrap=not self.out.is_terminal)

    def verbatim(self, text: str) -> None:
        """Text for people to copy: never broken."""
        if not self.as_json:
            self.out.print(text, soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line for people on standard error."""
        self.err.print(text, style="yellow", soft_wrap=not self.err.is_terminal)

    def fact(self, value: Mapping[str, Any]) -> None:
        """An object for machines; nothing when the output is for people."""
        if self.as_json:
            sys.stdout.write(json_shown(orjson.dumps(value, default=str).decode()) + "\n")
            sys.stdout.flush()


def marked(mark: str, style: str, text: str) -> Text:
    """A line that begins with a coloured mark."""
    return Text.assemble((f"{mark} ", style), text)


def count(number: int, noun: str) -> str:
    """`1 turn`, `2,000 turns`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
