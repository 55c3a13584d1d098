"""The Redis function and the fold in Python are one set of rules: any sequence of effects leaves the same state.

Runs against a real server. Effects are generated without care for sense (summaries that cut, are stale or repeat,
retractions of what is not there), as a defect upstream might produce them.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnlog_events.effects import AddSummary, AddTurn, Effect, HideTurns
from turnlog_events.fold import MEMBERS_MAX, SessionState, apply_effect
from turnlog_views.errors import ViewsRefused
from turnlog_views.keys import LogKeys, partition_of
from turnlog_views.link import pack
from turnlog_views.partitions import Applied, Change, Effects, Held, Mode, Moved, Partition
from turnlog_views.wire import effect_arguments
from turnlog_views.writer import Dump, ViewWriter, WriterSettings

if TYPE_CHECKING:
    from conftest import RealServers

WINDOW = 5
IDENTITY = "acme/s-1"
NUMBER = partition_of(IDENTITY)

members = st.none() | st.sampled_from(["ann", "bob", "a.b", "~x", "an", "nn"])
version = st.integers(1, 14)


@st.composite
def effects(draw: st.DrawFn) -> list[Effect]:
    """A session's effects in order: turns with versions 1, 2, 3 …, the rest at random between them."""
    out: list[Effect] = []
    head = 0
    for kind in draw(st.lists(st.sampled_from("TTTTHS"), max_size=24)):
        if kind == "T":
            head += 1
            body = draw(st.sampled_from(["x", 'é"…', "z" * 90]))
            view = f'{{"version":{head},"content":"{body}"}}'.encode()
            tokens, us = draw(st.integers(0, 9)), 1_790_000_000_000_000 + head
            out.append(AddTurn(head, view, tokens, us, draw(members), draw(members)))
            continue
        start = draw(version)
        end = draw(st.integers(start, 14))
        if kind == "H":
            out.append(HideTurns(start, end))
        else:
            revision = draw(st.integers(1, 4))
            out.append(AddSummary(start, end, draw(st.integers(1, 3)), revision, b'{"n":%d}' % len(out)))
    return out


def folded(sequence: list[Effect], state: SessionState | None = None, window: int = WINDOW) -> SessionState:
    state = state or SessionState()
    for position, effect in enumerate(sequence, 1):
        if position > state.position:
            state = apply_effect(state, effect, "main", position, window)
    return state


def change(partition: Partition, sequence: list[Effect], first: int, past: int, *, stamp: bool = False) -> Change:
    """The effects with positions first..past − 1 as one change."""
    made = Effects()
    for position in range(first, past):
        made.add(effect_arguments(position, sequence[position - 1]))
    return Change(partition, past - 1, stamp, {IDENTITY: made} if made.count else {})


@pytest.fixture(scope="module")
async def writer(servers: "RealServers") -> AsyncIterator[ViewWriter]:
    made = ViewWriter(servers.redis_url, "contract", WriterSettings(window_turns=WINDOW))
    await made.open(secrets.token_hex(16), "epoch")
    yield made
    await made.close()


@pytest.fixture
def fresh(writer: ViewWriter) -> Partition:
    return renew(writer)


def renew(writer: ViewWriter) -> Partition:
    """A partition that nothing was written to: another incarnation of the log."""
    writer.keys = LogKeys("contract", secrets.token_hex(16))
    return Partition(NUMBER)


async def read(writer: ViewWriter) -> Dump:
    (dump,) = await writer.dumps([1], [IDENTITY])
    assert dump is not None
    return dump


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=effects(), data=st.data())
async def test_redis_holds_what_the_fold_says(writer: ViewWriter, sequence: list[Effect], data: st.DataObject) -> None:
    partition, expected = renew(writer), folded(sequence)
    done = 0
    while done < len(sequence):
        past = data.draw(st.integers(done + 1, len(sequence))) + 1
        first = data.draw(st.integers(1, done + 1))  # from earlier: what is there already must change nothing
        made = change(partition.at(done), sequence, first, past)
        (outcome,) = await writer.apply([made])
        assert isinstance(outcome, Applied)
        if outcome.absent:  # nothing but an opening without a turn cannot be placed
            assert not isinstance(sequence[0], AddTurn)
            assert await writer.load(partition.at(past - 1), IDENTITY, folded(sequence[: past - 1]))
        done = past - 1
    if sequence:
        assert (await read(writer)).state == expected


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=effects().filter(bool), cut=st.integers(0, 24))
async def test_a_loaded_state_goes_on_like_an_incremental_one(
    writer: ViewWriter, sequence: list[Effect], cut: int
) -> None:
    partition, cut = renew(writer), min(cut, len(sequence) - 1)
    await writer.apply([change(partition, sequence, 1, 1)])
    if cut:
        await writer.apply([Change(partition, cut)])
        assert await writer.load(partition.at(cut), IDENTITY, folded(sequence[:cut]))
        assert (await read(writer)).state == folded(sequence[:cut])
    (outcome,) = await writer.apply([change(partition.at(cut), sequence, cut + 1, len(sequence) + 1)])
    if outcome == Applied(WINDOW):
        assert (await read(writer)).state == folded(sequence)
    else:
        assert cut == 0
        assert not isinstance(sequence[0], AddTurn)


def view(version: int) -> bytes:
    return b'{"version":%d,"content":"x"}' % version


def turns(count: int, agent: str | None = None) -> list[Effect]:
    return [AddTurn(n, view(n), 1, n, agent, None) for n in range(1, count + 1)]


async def test_a_session_that_was_evicted_is_named_and_the_others_are_applied(
    writer: ViewWriter, fresh: Partition
) -> None:
    await writer.apply([change(fresh, turns(3), 1, 3)])
    await writer._link.call([pack("DEL", writer.keys.session(NUMBER, 1, IDENTITY)[0])])
    made = change(fresh.at(2), turns(3), 3, 4)
    other = next(f"acme/o{n}" for n in range(9999) if partition_of(f"acme/o{n}") == NUMBER)
    made.sessions[other] = Effects()
    made.sessions[other].add(effect_arguments(4, turns(1)[0]))
    assert await writer.apply([made]) == [Applied(WINDOW, absent=(IDENTITY,))]
    evicted, applied = await writer.dumps([1, 1], [IDENTITY, other])
    assert evicted is None
    assert applied is not None
    assert applied.state.version == 1


@pytest.mark.parametrize("place", [1, 2])
async def test_a_session_of_which_one_key_was_evicted_is_not_read(
    writer: ViewWriter, fresh: Partition, place: int
) -> None:
    sequence = [*turns(3), AddSummary(1, 2, 1, 1, b"{}")]
    await writer.apply([change(fresh, sequence, 1, 5)])
    await writer._link.call([pack("DEL", writer.keys.session(NUMBER, 1, IDENTITY)[place])])
    assert await writer.dumps([1], [IDENTITY]) == [None]
    made = change(fresh.at(4), [*sequence, AddTurn(4, view(4), 1, 9, None, None)], 5, 6)
    assert await writer.apply([made]) == [Applied(WINDOW, absent=(IDENTITY,))]


async def test_a_replay_starts_clean_where_only_head_and_checkpoint_were_evicted(
    writer: ViewWriter, fresh: Partition
) -> None:
    sequence = [*turns(3), AddSummary(1, 2, 1, 1, b"{}")]
    await writer.apply([change(fresh, sequence, 1, 5)])
    head, *_ = writer.keys.session(NUMBER, 1, IDENTITY)
    await writer._link.call([pack("DEL", head), pack("DEL", writer.keys.metas[NUMBER])])
    assert await writer.apply([change(fresh, sequence, 1, 3)]) == [Applied(WINDOW)]
    assert (await read(writer)).state == folded(sequence[:2])


async def test_a_session_that_is_behind_becomes_unreadable_at_once(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([change(fresh, turns(4), 1, 3)])
    assert await writer.apply([change(fresh.at(2), turns(4), 4, 5)]) == [Applied(WINDOW, absent=(IDENTITY,))]
    assert await writer.dumps([1], [IDENTITY]) == [None]


async def test_a_late_writer_is_refused_and_told_the_checkpoint(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([change(fresh, turns(3), 1, 4)])
    assert await writer.apply([change(fresh, turns(3), 1, 3)]) == [Moved(1, 3)]
    assert (await read(writer)).state == folded(turns(3))


async def test_a_writer_that_believes_in_lost_data_is_refused(writer: ViewWriter, fresh: Partition) -> None:
    assert await writer.apply([change(fresh.at(2), turns(3), 3, 4)]) == [Moved(1, 0)]


async def test_a_writer_of_another_generation_is_refused_and_told_the_live_one(
    writer: ViewWriter, fresh: Partition
) -> None:
    await writer.apply([change(fresh, turns(2), 1, 3)])
    await writer.begin(2)
    build = Partition(NUMBER, generation=2)
    await writer.apply([change(build, turns(2), 1, 3)], Mode.BUILD)
    assert await writer.switch([fresh], 2, 60) == []
    assert await writer.apply([change(fresh.at(2), turns(3), 3, 4)]) == [Moved(2, 2)]


async def test_a_generation_that_is_behind_does_not_become_the_live_one(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([change(fresh, turns(2), 1, 3)])
    await writer.begin(2)
    assert await writer.switch([fresh], 2, 60) == [NUMBER]
    assert (await writer.partitions())[NUMBER].generation == 1


async def test_a_build_that_nobody_began_is_refused(writer: ViewWriter, fresh: Partition) -> None:
    build = Partition(NUMBER, generation=7)
    assert await writer.apply([change(build, turns(1), 1, 2)], Mode.BUILD) == [Moved(7, 0)]
    assert await writer.dumps([7], [IDENTITY]) == [None]


async def test_a_load_that_was_folded_up_to_another_checkpoint_is_refused(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([change(fresh, turns(3), 1, 4)])
    assert not await writer.load(fresh.at(2), IDENTITY, folded(turns(2)))
    assert (await read(writer)).state.version == 3


async def test_a_head_names_no_more_members_than_the_fold(writer: ViewWriter, fresh: Partition) -> None:
    many: list[Effect] = [AddTurn(n, view(n), 1, n, f"agent{n}", f"user{n}") for n in range(1, MEMBERS_MAX + 5)]
    await writer.apply([change(fresh, many, 1, len(many) + 1)])
    state = (await read(writer)).state
    assert state == folded(many)
    assert len(state.agents) == MEMBERS_MAX


async def test_more_turns_than_one_push_takes_arrive(writer: ViewWriter, fresh: Partition) -> None:
    long = turns(20_000)
    await writer.apply([change(fresh, long, 1, len(long) + 1)])
    assert (await read(writer)).state == folded(long)


async def test_an_idle_session_goes_when_a_ttl_is_set(redis_url: str) -> None:
    settings = WriterSettings(window_turns=WINDOW, idle_ttl_s=77)
    writer = ViewWriter(redis_url, "contract", settings)
    await writer.open(secrets.token_hex(16), "epoch")
    await writer.apply([change(Partition(NUMBER), [*turns(2), AddSummary(1, 1, 1, 1, b"{}")], 1, 4)])
    keys = writer.keys.session(NUMBER, 1, IDENTITY)
    ttls = await writer._link.call([pack("TTL", key) for key in keys])
    await writer.close()
    assert ttls == [77, 77, 77]


async def test_a_mark_before_the_first_turn_survives_its_eviction(writer: ViewWriter, fresh: Partition) -> None:
    sequence: list[Effect] = [HideTurns(1, 1), *turns(1)]
    assert await writer.apply([change(fresh, sequence, 1, 2)]) == [Applied(WINDOW, absent=(IDENTITY,))]
    assert await writer.load(fresh.at(1), IDENTITY, folded(sequence[:1]))
    await writer._link.call([pack("DEL", writer.keys.session(NUMBER, 1, IDENTITY)[0])])
    assert await writer.apply([change(fresh.at(1), sequence, 2, 3)]) == [Applied(WINDOW, absent=(IDENTITY,))]


async def test_live_writes_wait_while_held_and_builds_do_not(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([change(fresh, turns(2), 1, 3)])
    await writer.begin(2)
    await writer.hold([NUMBER], 60)
    (held,) = await writer.apply([change(fresh.at(2), turns(3), 3, 4)])
    assert isinstance(held, Held)
    assert 0 < held.left_ms <= 60_000
    assert (await read(writer)).state == folded(turns(2))
    build = Partition(NUMBER, generation=2)
    assert await writer.apply([change(build, turns(3), 1, 4)], Mode.BUILD) == [Applied(WINDOW)]
    await writer.release([NUMBER])
    assert await writer.apply([change(fresh.at(2), turns(3), 3, 4)]) == [Applied(WINDOW)]


async def test_a_hold_ends_by_itself(writer: ViewWriter, fresh: Partition) -> None:
    await writer.hold([NUMBER], 0.15)
    async with asyncio.timeout(10):
        while isinstance((await writer.apply([change(fresh, turns(3), 1, 4)]))[0], Held):
            await asyncio.sleep(0.01)
    assert (await read(writer)).state == folded(turns(3))


async def test_all_partitions_switch_or_none(writer: ViewWriter, fresh: Partition) -> None:
    other = Partition((NUMBER + 1) % 256)
    await writer.apply([change(fresh, turns(2), 1, 3), Change(other, 2)])
    await writer.begin(2)
    await writer.apply([Change(replace(other, generation=2), 2)], Mode.BUILD)
    assert await writer.switch([fresh, other], 2, 60) == [NUMBER]
    assert {(await writer.partitions())[p.number].generation for p in (fresh, other)} == {1}
    await writer.apply([change(replace(fresh, generation=2), turns(2), 1, 3)], Mode.BUILD)
    assert await writer.switch([fresh, other], 2, 60) == []
    after = await writer.partitions()
    assert [(after[p.number].generation, writer.readable(after[p.number])) for p in (fresh, other)] == [(2, True)] * 2


async def test_a_generation_at_another_event_of_the_same_position_is_refused(
    writer: ViewWriter, fresh: Partition
) -> None:
    await writer.apply([Change(fresh, 2, chain="aa")])
    await writer.begin(2)
    await writer.apply([Change(replace(fresh, generation=2), 2, chain="bb")], Mode.BUILD)
    with pytest.raises(ViewsRefused):
        await writer.switch([fresh], 2, 60)


async def test_a_writer_that_follows_another_history_is_refused(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([Change(fresh, 2, chain="aa")])
    assert await writer.apply([Change(fresh.at(2, "bb"), 3, chain="cc")]) == [Moved(1, 2, "aa")]
    assert await writer.apply([Change(fresh.at(2, "aa"), 3, chain="cc")]) == [Applied(WINDOW)]


async def test_a_late_writer_that_follows_another_postgres_leaves_a_partition_unreadable(
    writer: ViewWriter, fresh: Partition
) -> None:
    await writer.apply([Change(fresh, 2, stamp=True)])
    late = ViewWriter(writer._url, writer.log, writer.settings)
    await late.open(writer.keys.incarnation, "epoch before")
    await writer.apply([Change(fresh.at(2), 3)])
    assert writer.readable((await writer.partitions())[NUMBER])
    assert await late.apply([Change(fresh.at(3), 4)]) == [Applied(WINDOW)]
    await late.close()
    assert (await writer.partitions())[NUMBER].stamp == ""


async def test_another_version_that_writes_to_a_generation_is_recorded(writer: ViewWriter, fresh: Partition) -> None:
    await writer.apply([Change(fresh, 2)])
    newer = ViewWriter(writer._url, writer.log, replace(writer.settings, projection_version=9))
    await newer.open(writer.keys.incarnation, "epoch")
    await newer.apply([Change(fresh.at(2), 3)])
    await newer.apply([Change(fresh.at(3), 4)])
    await newer.close()
    partition = (await writer.partitions())[NUMBER]
    assert (partition.projection, partition.mixed_from, partition.checkpoint) == (1, 2, 4)
