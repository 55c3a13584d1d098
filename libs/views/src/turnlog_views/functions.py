"""The Redis function library: its source, put together from `lua/*.lua`, and the names to call it by.

The library's name holds a hash of its source. So two releases can use one server side by side, a library that is
there is the right one, and loading it twice is harmless.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from turnlog_events.fold import MEMBERS_MAX

_FILES = ("session.lua", "apply.lua", "load.lua", "read.lua", "generations.lua")
_HASH_CHARS = 10


@dataclass(frozen=True, slots=True)
class Library:
    """A function library: `source` is what FUNCTION LOAD takes."""

    name: str
    source: str

    def function(self, verb: str) -> str:
        """The full name of one of its functions, e.g. `apply`."""
        return f"{self.name}_{verb}"


@cache
def library() -> Library:
    """The library of this release."""
    folder = files("turnlog_views").joinpath("lua")
    body = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES)
    body = body.replace("@MEMBERS_MAX@", str(MEMBERS_MAX))
    name = f"turnlog_{sha256(body.encode()).hexdigest()[:_HASH_CHARS]}"
    return Library(name, f"#!lua name={name}\n{body.replace('@LIB@', name)}")
