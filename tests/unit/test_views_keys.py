"""Names in Redis: no two sessions share a key, and stored data is found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_views.functions import library
from turnlog_views.keys import PARTITIONS, LogKeys, generation_of, identity_of, partition_of

ids = st.text("AZaz09._:@+-#~", min_size=1, max_size=12)
INCARNATION = "0123456789abcdef0123456789abcdef"


@given(ids, ids, ids, ids)
def test_two_sessions_have_one_identity_only_if_they_are_one(a: str, b: str, c: str, d: str) -> None:
    assert (identity_of(a, b) == identity_of(c, d)) == ((a, b) == (c, d))


@pytest.mark.parametrize(("identity", "partition"), [("default/s-1", 127), ("acme/~agent.a", 170), ("t/s", 117)])
def test_a_partition_is_the_same_for_ever(identity: str, partition: int) -> None:
    assert partition_of(identity) == partition


@given(ids, ids)
def test_every_session_has_a_partition(tenant: str, session: str) -> None:
    assert 0 <= partition_of(identity_of(tenant, session)) < PARTITIONS


def test_all_keys_of_a_session_share_one_hash_tag_with_their_meta() -> None:
    keys = LogKeys("main", INCARNATION)
    names = (keys.metas[7], *keys.session(7, 3, "acme/s"))
    assert {name[name.index("{") : name.index("}") + 1] for name in names} == {"{main:7}"}
    assert keys.session(7, 3, "acme/s")[0] == "tl:{main:7}:01234567:3:h:acme/s"


def test_another_incarnation_log_or_generation_has_other_keys() -> None:
    names = {
        LogKeys(log, incarnation).session(1, generation, "t/s")
        for log in ("main", "other")
        for incarnation in (INCARNATION, "f" * 32)
        for generation in (1, 2)
    }
    assert len(names) == 8


@given(ids, st.integers(1, 10**6))
def test_the_generation_can_be_read_from_any_key(session: str, generation: int) -> None:
    for key in LogKeys("a-b", INCARNATION).session(255, generation, f"t:1/{session}"):
        assert generation_of(key.encode()) == generation


def test_the_library_is_named_after_its_source_and_its_functions_after_it() -> None:
    lib = library()
    assert lib.source.startswith(f"#!lua name={lib.name}\n")
    assert f"'{lib.function('apply')}'" in lib.source
    assert "@" not in lib.source.replace("@ ", "")  # every placeholder was replaced
