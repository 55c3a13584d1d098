"""The API keys that `turnlog up` makes: one for commands on this machine, and at the first start one for its owner.

Called by `stack.py` with the owner's address, once the schema is there. Nothing is made where credentials are not asked
for.
"""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from turnlog_access.key_format import MintedKey
from turnlog_cli.addresses import left_in
from turnlog_cli.key_ring import Wanted, make_key
from turnlog_events.ids import DEFAULT_TENANT
from turnlog_eventstore import Administration, StoreError
from turnlog_runtime.principal import AUDIT, READ, WRITE

LOCAL_NAME, FIRST_NAME = "commands on the machine of turnlog up", "the first key"
SCOPES = (WRITE, READ, AUDIT)
REVOKE_S = 2.0


@dataclass(frozen=True)
class StartKeys:
    """`local` is for commands on this machine while this runs; `first` is for a person, None but at the first start."""

    local: MintedKey | None = field(default=None, repr=False)
    first: MintedKey | None = field(default=None, repr=False)


@asynccontextmanager
async def keys_at_start(owner_url: str, data_dir: Path, *, required: bool) -> AsyncIterator[StartKeys]:
    """The keys; the local one is revoked on leaving, or where we were killed at the next start. Raises `StoreError`."""
    if not required:
        yield StartKeys()
        return
    owner = await Administration.open(owner_url)
    try:
        keys = await _made(owner, data_dir)
    finally:
        await owner.close()
    try:
        yield keys
    finally:
        if keys.local is not None:
            await _revoked(owner_url, keys.local.key_id)


async def _made(owner: Administration, data_dir: Path) -> StartKeys:
    left = left_in(data_dir)
    if left is not None and left.api_key.count("_") == 2:
        await owner.revoke_key(left.api_key.split("_")[1])
    now = datetime.now(UTC)
    is_first = all(row.name == LOCAL_NAME for row in await owner.keys())
    first = await make_key(owner, Wanted(DEFAULT_TENANT, FIRST_NAME, SCOPES), now) if is_first else None
    return StartKeys(await make_key(owner, Wanted(DEFAULT_TENANT, LOCAL_NAME, SCOPES), now), first)


async def _revoked(owner_url: str, key_id: str) -> None:
    """Revoke the local key; where PostgreSQL is gone already, the next start does."""
    owner = await Administration.open(owner_url, REVOKE_S)
    try:
        with contextlib.suppress(StoreError):
            await owner.revoke_key(key_id)
    finally:
        await owner.close()
