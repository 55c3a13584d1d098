"""`turnlog migrate`: for databases given by their address."""

import asyncio
from pathlib import Path

from turnlog_cli import addresses
from turnlog_cli.errors import CommandError
from turnlog_cli.screen import Screen, marked
from turnlog_migrations import migrate
from turnlog_runtime.settings import SharedSettings


def migrate_database(settings: SharedSettings, data_dir: Path, screen: Screen) -> None:
    """Migrate as the schema's owner and say what changed. Raises `CommandError` when PostgreSQL is away."""
    url = addresses.owner_url(settings, data_dir)
    try:
        done = asyncio.run(migrate(url))
    except (OSError, TimeoutError) as error:
        raise CommandError(f"PostgreSQL cannot be reached: {error or 'time-out'}; check DATABASE_URL") from error
    screen.fact({"before": done.before, "after": done.after})
    if done.before == done.after:
        screen.say(marked("✓", "green", f"the schema is at {done.after} already"))
    else:
        screen.say(marked("✓", "green", f"schema {done.before or 'empty'} → {done.after}"))
