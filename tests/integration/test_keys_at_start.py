"""The keys that `turnlog up` makes: one for commands beside it, which ends with it, and the first one, once."""

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from turnlog_cli import addresses
from turnlog_cli.keys_at_start import keys_at_start
from turnlog_eventstore import ApiKeys
from turnlog_migrations import migrate

WRITTEN = addresses.Addresses(0, "http://x", "postgresql://a", "postgresql://o", "nats://n", "redis://r")


@pytest.fixture
async def owned(owner_dsn: str) -> AsyncIterator[str]:
    """A database of its own, where no key was ever made; its owner's address."""
    name = f"turnlog_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute(f"create database {name}")
    made = urlsplit(owner_dsn)._replace(path=f"/{name}").geturl()
    await migrate(made)
    yield made
    await owner.execute(f"drop database {name} with (force)")
    await owner.close()


async def live(owned: str, *key_ids: str) -> set[str]:
    keys = await ApiKeys.open(owned)
    try:
        return set(await keys.live(key_ids, 5))
    finally:
        await keys.close()


async def test_the_local_key_ends_with_its_process_and_the_first_one_is_made_once(owned: str, tmp_path: Path) -> None:
    async with keys_at_start(owned, tmp_path, required=True) as keys:
        assert keys.local is not None
        assert keys.first is not None
        both = {keys.local.key_id, keys.first.key_id}
        assert await live(owned, *both) == both
    assert await live(owned, *both) == {keys.first.key_id}
    async with keys_at_start(owned, tmp_path, required=True) as again:
        assert again.first is None
        assert again.local is not None


async def test_what_a_killed_process_left_is_revoked_at_the_next_start(owned: str, tmp_path: Path) -> None:
    async with keys_at_start(owned, tmp_path, required=True) as killed:
        assert killed.local is not None
        (tmp_path / "run").mkdir()
        addresses.write(tmp_path, replace(WRITTEN, pid=os.getpid(), api_key=killed.local.credential))
        async with keys_at_start(owned, tmp_path, required=True):
            assert await live(owned, killed.local.key_id) == set()


async def test_where_no_credential_is_asked_for_none_is_made(owned: str, tmp_path: Path) -> None:
    async with keys_at_start(owned, tmp_path, required=False) as keys:
        assert (keys.local, keys.first) == (None, None)
    owner = await asyncpg.connect(owned)
    assert await owner.fetchval("select count(*) from turnlog.api_keys") == 0
    await owner.close()
