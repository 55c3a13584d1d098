"""A framework's names as Turnlog's ids where the names must come back: what `as_id` would cut is refused. Pure.

The parts of a name of several parts are joined by `:`, which is therefore written as `+3A` inside of a part.
"""

from turnlog_client.ids import ID_MAX_CHARS, escaped, name_of


def id_of(name: str, what: str) -> str:
    """The id for a name, which `ids.name_of` gives back. Raises ValueError, naming it as `what`, when it is empty or
    longer than an id can be."""
    return _checked(escaped(name), what)


def id_of_parts(*parts: str, what: str, kind: str = "") -> str:
    """The id for a name of several parts, none of them empty; `parts_of` gives them back. A `kind` (`#state`) makes it
    another id than that of the parts alone."""
    if not all(parts):
        raise ValueError(f"{what} must not be empty")
    return _checked(":".join(escaped(part, ":") for part in parts) + kind, what)


def parts_of(id_: str) -> list[str]:
    """The parts that `id_of_parts` joined without a kind; none of an id that it did not make."""
    found = [name_of(part) for part in id_.split(":")]
    parts = [part for part in found if part is not None]
    return parts if len(parts) == len(found) else []


def _checked(id_: str, what: str) -> str:
    if not id_:
        raise ValueError(f"{what} must not be empty")
    if len(id_) > ID_MAX_CHARS:
        raise ValueError(
            f"{what} takes {len(id_)} characters as an id, of at most {ID_MAX_CHARS}; choose a shorter one"
        )
    return id_
