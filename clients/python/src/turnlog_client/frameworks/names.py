"""A framework's names as Turnlog's ids: any text in, an id out, and back. Pure.

What an id may not hold, and `+` itself, is written as `+` and two hex digits for each byte of its UTF-8. The parts of a
name of several parts are joined by `:`, which is therefore written so inside of a part.
"""

import re

ID_MAX_CHARS = 200
_NOT_IN_ID = re.compile(rb"[^A-Za-z0-9._:@#\-]")
_NOT_IN_PART = re.compile(rb"[^A-Za-z0-9._@\-]")
_ESCAPE = re.compile(rb"\+([0-9A-F]{2})")


def id_of(name: str, what: str) -> str:
    """The id for a name. Raises ValueError, naming it as `what`, when it is empty or longer than an id can be."""
    return _checked(_escaped(name, _NOT_IN_ID), what)


def name_of(id_: str) -> str:
    """The name that `id_of` made the id for. Of an id made otherwise, whatever can be read of it."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), id_.encode()).decode(errors="replace")


def id_of_parts(*parts: str, what: str, kind: str = "") -> str:
    """The id for a name of several parts, none of them empty; `parts_of` gives them back. A `kind` (`#state`) makes it
    another id than that of the parts alone."""
    if not all(parts):
        raise ValueError(f"{what} must not be empty")
    return _checked(":".join(_escaped(part, _NOT_IN_PART) for part in parts) + kind, what)


def parts_of(id_: str) -> list[str]:
    """The parts that `id_of_parts` joined, without a kind."""
    return [name_of(part) for part in id_.split(":")]


def _escaped(text: str, forbidden: "re.Pattern[bytes]") -> str:
    data = text.encode()
    if data in (b".", b".."):
        return "+2E" * len(data)
    return forbidden.sub(lambda match: b"+%02X" % match[0][0], data).decode()


def _checked(id_: str, what: str) -> str:
    if not id_:
        raise ValueError(f"{what} must not be empty")
    if len(id_) > ID_MAX_CHARS:
        raise ValueError(
            f"{what} takes {len(id_)} characters as an id, of at most {ID_MAX_CHARS}; choose a shorter one"
        )
    return id_
