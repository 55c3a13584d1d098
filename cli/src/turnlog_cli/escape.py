"""Text from outside, made safe to print: stored turns may hold anything, also what drives a terminal."""

_SHORT = {"\n": "⏎ ", "\t": " ", "\r": ""}
_INVISIBLE = range(0xE0100, 0xE01F0)  # variation selectors that only smuggle data; Python calls them printable


def one_line(text: str) -> str:
    """The text on one line; control, format and other invisible characters as `\\x1b` or `\\u202e`."""
    return "".join(_SHORT[char] if char in _SHORT else _shown(char) for char in text)


def many_lines(text: str) -> str:
    """Like `one_line`, keeping line feeds."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def _shown(char: str) -> str:
    if char.isprintable() and ord(char) not in _INVISIBLE:
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
