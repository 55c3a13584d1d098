"""A database of the first release, as it left it; see `data/README.md`."""

import gzip
import json
from pathlib import Path
from typing import Any

import asyncpg

FOLDER = Path(__file__).parent / "data"
LOGS = {"main": 88, "north": 9}


async def restore_first_release(owner_dsn: str) -> None:
    """Put it into an empty database."""
    script = gzip.decompress((FOLDER / "first_release.sql.gz").read_bytes()).decode()
    owner = await asyncpg.connect(owner_dsn)
    try:
        await owner.execute(script)
    finally:
        await owner.close()


def first_answers() -> dict[str, dict[str, Any]]:
    """What its read API answered: by path the `status`, `etag` and `body`."""
    found: dict[str, dict[str, Any]] = json.loads(
        gzip.decompress((FOLDER / "first_release_answers.json.gz").read_bytes())
    )
    return found
