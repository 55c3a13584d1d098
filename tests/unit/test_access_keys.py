"""API keys: their form, and the keyring that makes a known one cost one look and a revoked one end in time."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from turnlog_access.errors import Refused, Unknown
from turnlog_access.key_format import MintedKey, holds_key, key_digest, key_id_of, mint
from turnlog_access.keyring import Keyring, KeyringSettings
from turnlog_eventstore import ApiKey, StoreUnavailable
from turnlog_runtime.principal import READ, WRITE

QUICK = KeyringSettings(trust_s=0.2, look_s=0.05, question_s=0.5, refused_s=0.1, note_s=0.05, stale_max_s=60)


def test_a_key_has_a_public_id_and_a_secret_of_more_than_128_bits() -> None:
    minted = mint()
    assert re.fullmatch(r"tl_[a-z0-9]{12}_[A-Za-z0-9]{40}", minted.credential)
    assert key_id_of(minted.credential.encode()) == minted.key_id
    assert minted.sha256 == key_digest(minted.credential.encode())
    assert minted.credential not in repr(minted)
    assert len({mint().credential for _ in range(200)}) == 200


@pytest.mark.parametrize(
    "text", [b"", b"tl_", b"tl_abc_def", b"tl_aaaaaaaaaaaa_" + b"x" * 39, b"TL_aaaaaaaaaaaa_" + b"x" * 40,
             b"tl_AAAAAAAAAAAA_" + b"x" * 40, b"tl_aaaaaaaaaaaa_" + b"x" * 41, b"tl_aaaaaaaaaaaa_" + b"-" * 40]
)  # fmt: skip
def test_what_has_not_the_form_of_a_key_is_none(text: bytes) -> None:
    assert key_id_of(text) is None


def test_a_key_is_found_in_a_url() -> None:
    key = mint().credential.encode()
    assert holds_key(b"/v1/sessions/" + key + b"/turns")
    assert holds_key(b"a=b&cursor=" + key)
    assert not holds_key(b"/v1/sessions/tl_notes_of_monday/turns")


class Source:
    """A table of keys that counts its questions and can be away."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = {key.key_id: key for key in keys}
        self.questions: list[set[str]] = []
        self.used: dict[str, float] = {}
        self.away = False

    async def live(self, key_ids: Collection[str], deadline_s: float) -> dict[str, ApiKey]:
        self.questions.append(set(key_ids))
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        return {key_id: self.keys[key_id] for key_id in key_ids if key_id in self.keys}

    async def note_used(self, used_at_s: Mapping[str, float], deadline_s: float) -> None:
        self.used.update(used_at_s)


def stored(minted: MintedKey, **more: Any) -> ApiKey:
    return replace(ApiKey(minted.key_id, "acme", minted.sha256, frozenset({READ, WRITE, "future:scope"})), **more)


@asynccontextmanager
async def running(source: Source, settings: KeyringSettings = QUICK) -> AsyncIterator[Keyring]:
    keyring = Keyring(source, settings)
    task = asyncio.create_task(keyring.run())
    try:
        yield keyring
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_key_is_looked_up_once_and_then_known() -> None:
    minted = mint()
    source = Source(stored(minted))
    async with running(source, replace(QUICK, look_s=60, trust_s=120)) as keyring:
        assert keyring.known(minted.sha256) is None
        found = await keyring.find(minted.key_id, minted.sha256)
        assert (found.tenant, found.scopes, found.credential) == ("acme", {READ, WRITE}, minted.key_id)
        assert keyring.known(minted.sha256) == found
        assert source.questions == [{minted.key_id}]


@pytest.mark.parametrize("known_before", [False, True])
async def test_an_unknown_id_and_a_wrong_secret_take_the_same_way(known_before: bool) -> None:
    minted, other = mint(), mint()
    source = Source(stored(minted))
    async with running(source, replace(QUICK, look_s=60, trust_s=120, refused_s=60)) as keyring:
        if known_before:
            await keyring.find(minted.key_id, minted.sha256)
        source.questions.clear()
        for key_id in (minted.key_id, "aaaaaaaaaaaa"):
            for _ in range(3):
                with pytest.raises(Refused):
                    await keyring.find(key_id, other.sha256 if key_id == minted.key_id else bytes(32))
        assert source.questions == [{minted.key_id}, {"aaaaaaaaaaaa"}]  # and each is remembered, shortly


async def test_many_who_ask_at_once_are_one_question_and_too_many_must_come_back() -> None:
    source = Source()
    async with running(source, replace(QUICK, asking_max=100)) as keyring:
        asked = [keyring.find(f"{n:012d}", bytes([n]) * 32) for n in range(150)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        kinds = [type(one) for one in found]
        assert (kinds.count(Refused), kinds.count(Unknown)) == (100, 50)
        assert len([q for q in source.questions if q]) == 1


async def test_a_revoked_key_ends_though_it_is_used_without_a_pause() -> None:
    minted = mint()
    source = Source(stored(minted))
    async with running(source) as keyring:
        await keyring.find(minted.key_id, minted.sha256)
        del source.keys[minted.key_id]
        await until(lambda: keyring.known(minted.sha256) is None)
        with pytest.raises(Refused):
            await keyring.find(minted.key_id, minted.sha256)


async def test_a_key_that_was_not_used_for_a_while_is_asked_about_again() -> None:
    minted = mint()
    now = [100.0]
    keyring = Keyring(Source(stored(minted)), replace(QUICK, trust_s=4, look_s=2), lambda: now[0])
    task = asyncio.create_task(keyring.run())
    await keyring.find(minted.key_id, minted.sha256)
    now[0] += 3.9
    assert keyring.known(minted.sha256) is not None
    now[0] += 0.2
    assert keyring.known(minted.sha256) is None
    task.cancel()


async def test_known_keys_stay_while_postgresql_is_away_for_a_bounded_time_and_unknown_ones_must_wait() -> None:
    minted, other = mint(), mint()
    source = Source(stored(minted), stored(other))
    async with running(source, replace(QUICK, stale_max_s=1.0)) as keyring:
        await keyring.find(minted.key_id, minted.sha256)
        source.away = True
        await until(lambda: keyring.away)
        await asyncio.sleep(QUICK.trust_s)  # longer than it is trusted without an answer
        assert keyring.known(minted.sha256) is not None
        with pytest.raises(Unknown):
            await keyring.find(other.key_id, other.sha256)
        await until(lambda: keyring.known(minted.sha256) is None)
        with pytest.raises(Unknown):
            await keyring.find(minted.key_id, minted.sha256)
        source.away = False
        await until(lambda: not keyring.away)
        assert await keyring.find(minted.key_id, minted.sha256)


async def test_what_was_revoked_while_postgresql_was_away_ends_when_it_is_back() -> None:
    minted = mint()
    source = Source(stored(minted))
    async with running(source) as keyring:
        await keyring.find(minted.key_id, minted.sha256)
        source.away = True
        await until(lambda: keyring.away)
        source.keys.clear()
        assert keyring.known(minted.sha256) is not None
        source.away = False
        await until(lambda: keyring.known(minted.sha256) is None)


async def test_an_expired_key_is_not_taken_though_it_was_looked_up_just_now() -> None:
    minted = mint()
    async with running(Source(stored(minted, expires_at_s=1.0)), replace(QUICK, look_s=60, trust_s=120)) as keyring:
        await keyring.find(minted.key_id, minted.sha256)
        assert keyring.known(minted.sha256) is None


async def test_the_keys_used_longest_ago_make_room() -> None:
    keys = [mint() for _ in range(9)]
    async with running(Source(*map(stored, keys)), replace(QUICK, known_max=8, look_s=60, trust_s=120)) as keyring:
        for key in keys:
            await keyring.find(key.key_id, key.sha256)
        known = [keyring.known(key.sha256) is not None for key in keys]
        assert (known[0], known[-1], sum(known) <= 8) == (False, True, True)


async def test_when_keys_were_used_is_noted_now_and_then_and_never_twice() -> None:
    minted = mint()
    source = Source(stored(minted))
    async with running(source) as keyring:
        await keyring.find(minted.key_id, minted.sha256)
        await until(lambda: minted.key_id in source.used)
        first = source.used.pop(minted.key_id)
        await keyring.note()
        assert source.used == {}  # it was not used since
        assert keyring.known(minted.sha256)
        await until(lambda: source.used.get(minted.key_id, 0) > first)


async def test_an_asker_that_left_disturbs_nobody() -> None:
    minted = mint()
    async with running(Source(stored(minted))) as keyring:
        leaving = asyncio.ensure_future(keyring.find(minted.key_id, minted.sha256))
        await asyncio.sleep(0)
        leaving.cancel()
        assert (await keyring.find(minted.key_id, minted.sha256)).tenant == "acme"
