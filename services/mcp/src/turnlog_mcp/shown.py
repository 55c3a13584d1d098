"""Text of stored turns as an MCP client gets it: characters that nobody can see are written out. Pure.

A client may print an answer to a terminal, and a model reads what a person does not see. So control characters,
bidirectional overrides, tags and the like become `\\u{202e}`. What scripts and emoji need stays: line feeds, tabs, a
joiner or variation selector or two after a visible character (more in a row only smuggle data). The stored bytes are
not touched: the HTTP API gives them as they are.
"""

import re
import unicodedata
from typing import Any

_JOINERS = "\u200c\u200d\ufe00-\ufe0f"
_NEEDED = re.compile(f"(?<=[^\\s{_JOINERS}])[{_JOINERS}]{{1,2}}(?![{_JOINERS}])")
_KEPT = frozenset("\n\t")
_BLANK = frozenset(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0]
    + [code for span in ((0x180B, 0x1810), (0xFE00, 0xFE10), (0xE0100, 0xE01F0)) for code in range(*span)]
)
"""Characters that Python calls printable and that show nothing."""


def shown(text: str) -> str:
    """The text with every invisible character written as `\\u{…}`; other spaces than the plain one become it."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    kept = {at for match in _NEEDED.finditer(text) for at in range(*match.span())}
    return "".join(char if at in kept else _visible(char) for at, char in enumerate(text))


def shown_value(value: Any) -> Any:
    """A JSON value with all its texts shown, keys too."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return [shown_value(item) for item in value]
    if isinstance(value, dict):
        return {shown(key): shown_value(item) for key, item in value.items()}
    return value


def _visible(char: str) -> str:
    if char in _KEPT or (char.isprintable() and ord(char) not in _BLANK):
        return char
    return " " if unicodedata.category(char) == "Zs" else f"\\u{{{ord(char):x}}}"
