"""Calls that only the schema's owner may make, from a command."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from turnlog_cli.addresses import owner_url
from turnlog_eventstore import Administration
from turnlog_runtime.settings import SharedSettings

T = TypeVar("T")


def as_owner(settings: SharedSettings, data_dir: Path, ask: Callable[[Administration], Awaitable[T]]) -> T:
    """What `ask` returns, asked on the owner's connection. Raises `CommandError` or `StoreError`."""
    url = owner_url(settings, data_dir)

    async def run() -> T:
        owner = await Administration.open(url)
        try:
            return await ask(owner)
        finally:
            await owner.close()

    return asyncio.run(run())
