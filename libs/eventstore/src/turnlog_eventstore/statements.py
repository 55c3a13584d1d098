"""Named SQL in files: `sql/<name>.sql`, one statement each, a purpose line on top, parameters only."""

from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files("turnlog_eventstore").joinpath(f"sql/{name}.sql").read_text()
