"""Text from outside, made safe to print: stored turns may hold anything, also what drives a terminal."""

_SHORT = {"\n": "⏎ ", "\t": " ", "\r": ""}
# What Python calls printable and nobody sees: fillers, and variation selectors that only smuggle data.
_INVISIBLE = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)})


def one_line(text: str) -> str:
    """The text on one line; control, format and other invisible characters as `\\x1b` or `\\u202e`."""
    return "".join(_SHORT[char] if char in _SHORT else _shown(char) for char in text)


def many_lines(text: str) -> str:
    """Like `one_line`, keeping line feeds."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def json_shown(text: str) -> str:
    """JSON with every character that is not seen as an escape: the same JSON, safe to print. Line feeds between values
    stay."""
    if text.isascii() and "\x7f" not in text:
        return text  # JSON has no other control characters
    return "".join(char if char == "\n" or _seen(char) else _json_escape(char) for char in text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _seen(char: str) -> bool:
    return char.isprintable() and ord(char) not in _INVISIBLE


def _shown(char: str) -> str:
    if _seen(char):
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
