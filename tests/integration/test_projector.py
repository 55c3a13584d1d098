"""The projector on real PostgreSQL and Valkey: what it shows, and how it comes back from every loss."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as redis

from projecting import (
    append,
    complete,
    eventually,
    projector_of,
    reading,
    retraction,
    running,
    summary,
    truth,
    turn,
    writing,
)
from turnlog_embedded import Servers, ServerSpec, start
from turnlog_events.effects import AddTurn
from turnlog_events.turn_view import view_of
from turnlog_eventstore import Store
from turnlog_projector.applier import Applier, OutOfStep
from turnlog_views import ViewReader
from turnlog_views.keys import partition_of
from turnlog_views.link import pack
from turnlog_views.partitions import Change, Effects, Partition
from turnlog_views.wire import effect_arguments

VALKEY = "valkey"


@pytest.fixture
async def own_valkey(tmp_path: Path) -> AsyncIterator[Servers]:
    """A Valkey that a test may kill, pause and wipe."""
    servers = await start(tmp_path / "valkey", ServerSpec(postgres=False, nats=False))
    yield servers
    await servers.stop()


async def read_state(reader: ViewReader, tenant: str, log: str, session: str) -> object:
    view = await reader.session(tenant, log, session)
    return view.state if view else None


async def test_what_is_appended_can_be_read_byte_for_byte(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    last = await append(store, log_name, [turn(tenant, "s", f"turn {n} é") for n in range(30)])
    async with (
        running(projector_of(store, redis_url, log_name)),
        writing(store, redis_url, log_name) as writer,
        reading(store, redis_url) as reader,
    ):
        await complete(writer, last)
        view = await reader.turns(tenant, log_name, "s", 20)
        assert view is not None
        assert view.turns == [view_of(event) for event in (await store.turns(tenant, "s", limit=20))]
        assert (view.version, view.revision, view.complete) == (30, 0, True)


async def test_summaries_and_retractions_show_as_the_fold_says(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with (
        running(projector_of(store, redis_url, log_name, window_turns=5)),
        writing(store, redis_url, log_name) as writer,
        reading(store, redis_url) as reader,
    ):
        await append(store, log_name, [turn(tenant, "s", f"turn {n}", f"a{n % 3}") for n in range(8)])
        await append(store, log_name, [summary(tenant, "s", 1, 3), summary(tenant, "s", 4, 6)])
        last = await append(store, log_name, [retraction(tenant, "s", 5, 6), turn(tenant, "s", "last")])
        await complete(writer, last)
        view = await reader.session(tenant, log_name, "s")
        assert view is not None
        assert view.state == await truth(store, tenant, "s", window=5)
        assert [version for version, _ in view.state.turns] == [7, 8, 9]
        assert [(node.from_version, node.to_version) for node in view.state.nodes] == [(1, 3)]
        assert view.window_from == 5
        head = await reader.head(tenant, log_name, "s")
        assert head == view.head
        few = await reader.turns(tenant, log_name, "s", 5)
        assert few is not None
        assert (len(few.turns), few.complete) == (3, False)  # older visible turns exist, in PostgreSQL only


async def test_idle_partitions_follow_the_head(store: Store, redis_url: str, log_name: str, tenant: str) -> None:
    async with running(projector_of(store, redis_url, log_name)), writing(store, redis_url, log_name) as writer:
        for _ in range(3):
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "x")]))


async def test_nothing_is_read_before_the_log_was_replayed(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    await append(store, log_name, [turn(tenant, "s", "x"), turn(tenant, "s", "y")])
    async with writing(store, redis_url, log_name) as writer, reading(store, redis_url) as reader:
        applier = Applier(store, writer, await writer.partitions())
        await applier.apply(await store.read_after(log_name, 0, 1))
        assert await reader.turns(tenant, log_name, "s", 20) is None
        await applier.apply(await store.read_after(log_name, 1, 1))
        await applier.advance(complete=True)
        view = await reader.turns(tenant, log_name, "s", 20)
        assert view is not None
        assert len(view.turns) == 2
        assert await reader.turns(tenant, log_name, "other", 20) is None
        assert await reader.turns(tenant + "x", log_name, "s", 20) is None


async def test_a_stand_by_takes_over_where_the_leader_stopped(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with writing(store, redis_url, log_name) as writer, reading(store, redis_url) as reader:
        async with running(projector_of(store, redis_url, log_name)) as _:
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "one")]))
        async with (
            running(projector_of(store, redis_url, log_name)),
            running(projector_of(store, redis_url, log_name)),
        ):
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "two")]))
        assert await read_state(reader, tenant, log_name, "s") == await truth(store, tenant, "s")


async def test_a_late_projector_changes_nothing_and_learns_where_it_stands(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    await append(store, log_name, [turn(tenant, "s", f"{n}") for n in range(6)])
    events = await store.read_after(log_name, 0, 10)
    async with (
        writing(store, redis_url, log_name) as one,
        writing(store, redis_url, log_name) as two,
    ):
        late, leader = Applier(store, two, await two.partitions()), Applier(store, one, await one.partitions())
        await late.apply(events[:2])
        await leader.apply(events[:2])  # is refused, takes the position over
        await leader.apply(events[2:])
        await late.apply(events[2:4])  # as after SIGCONT
        number = partition_of(f"{tenant}/s")
        assert late.partitions[number].checkpoint == leader.partitions[number].checkpoint == 6
        (dump,) = await one.dumps([1], [f"{tenant}/s"])
        assert dump is not None
        assert dump.state == await truth(store, tenant, "s")


@pytest.mark.parametrize("writes", [False, True], ids=["looks", "writes"])
async def test_what_a_late_projector_wrote_of_a_lost_history_is_noticed(
    store: Store, redis_url: str, log_name: str, tenant: str, writes: bool
) -> None:
    await append(store, log_name, [turn(tenant, "s", f"{n}") for n in range(3)])
    events = await store.read_after(log_name, 0, 10)
    lost = replace(events[1], chain_hash=bytes(32))
    async with (
        writing(store, redis_url, log_name) as one,
        writing(store, redis_url, log_name) as two,
    ):
        late, leader = Applier(store, two, await two.partitions()), Applier(store, one, await one.partitions())
        await leader.apply(events[:1])
        late.partitions.update(leader.partitions)
        await late.apply([lost])
        with pytest.raises(OutOfStep, match="not of the log"):
            await (leader.apply(events[1:]) if writes else leader.check())


async def test_an_evicted_session_is_a_miss_and_comes_back_whole(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with (
        running(projector_of(store, redis_url, log_name, window_turns=4)),
        writing(store, redis_url, log_name) as writer,
        reading(store, redis_url) as reader,
    ):
        await append(store, log_name, [turn(tenant, "s", f"{n}", f"a{n}") for n in range(250)])
        await append(store, log_name, [summary(tenant, "s", 1, 200), retraction(tenant, "s", 248, 248)])
        await complete(writer, await append(store, log_name, [turn(tenant, "s", "z")]))
        keys = writer.keys.session(partition_of(f"{tenant}/s"), 1, f"{tenant}/s")
        await writer._link.call([pack("DEL", *keys)])
        assert await reader.turns(tenant, log_name, "s", 2) is None
        await complete(writer, await append(store, log_name, [turn(tenant, "s", "back")]))
        state = await read_state(reader, tenant, log_name, "s")
        assert state == await truth(store, tenant, "s", window=4)


async def test_read_models_ahead_of_the_log_are_abandoned(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    last = await append(store, log_name, [turn(tenant, "s", "kept")])
    async with writing(store, redis_url, log_name) as writer, reading(store, redis_url) as reader:
        lost = Effects()
        lost.add(effect_arguments(9, AddTurn(1, b'{"version":1,"content":"lost"}', 1, 1, None, None)))
        ahead = Partition(partition_of(f"{tenant}/s"))
        await writer.apply([Change(ahead, 9, stamp=True, sessions={f"{tenant}/s": lost})])
        async with running(projector_of(store, redis_url, log_name)):
            await complete(writer, last)
            state = await read_state(reader, tenant, log_name, "s")
            assert state == await truth(store, tenant, "s")


@pytest.mark.faults
@pytest.mark.parametrize("wiped", [False, True], ids=["older data", "wiped"])
async def test_a_valkey_that_lost_data_is_not_read_until_it_was_replayed(
    store: Store, own_valkey: Servers, log_name: str, tenant: str, wiped: bool
) -> None:
    url = own_valkey.redis_url
    last = await append(store, log_name, [turn(tenant, "s", f"{n}") for n in range(5)])
    async with running(projector_of(store, url, log_name)), writing(store, url, log_name) as writer:
        await complete(writer, last)
        await writer._link.call([pack("SAVE")])
        last = await append(store, log_name, [turn(tenant, "s", f"more {n}") for n in range(5)])
        await complete(writer, last)
    own_valkey.kill(VALKEY)
    if wiped:
        shutil.rmtree(own_valkey.data_dir_of(VALKEY))
    await own_valkey.start_one(VALKEY)
    async with reading(store, url) as reader:
        assert await reader.turns(tenant, log_name, "s", 20) is None
        async with running(projector_of(store, url, log_name)), writing(store, url, log_name) as writer:
            await complete(writer, last)
            assert await read_state(reader, tenant, log_name, "s") == await truth(store, tenant, "s")


@pytest.mark.faults
async def test_projector_and_reader_survive_a_killed_valkey_by_themselves(
    store: Store, own_valkey: Servers, log_name: str, tenant: str
) -> None:
    url = own_valkey.redis_url
    async with running(projector_of(store, url, log_name)), reading(store, url) as reader:
        async with writing(store, url, log_name) as writer:
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "before")]))
        assert await reader.head(tenant, log_name, "s") is not None
        own_valkey.kill(VALKEY)
        await append(store, log_name, [turn(tenant, "s", "meanwhile")])
        assert await reader.head(tenant, log_name, "s") is None
        await own_valkey.start_one(VALKEY)

        async def back() -> bool:
            return await read_state(reader, tenant, log_name, "s") == await truth(store, tenant, "s")

        await eventually(back)


@pytest.mark.faults
@pytest.mark.parametrize("loss", ["killed", "flushed"])
async def test_an_idle_projector_notices_that_valkey_lost_everything(
    store: Store, own_valkey: Servers, log_name: str, tenant: str, loss: str
) -> None:
    """Nothing is appended meanwhile: no write tells it."""
    url = own_valkey.redis_url
    async with running(projector_of(store, url, log_name)), reading(store, url) as reader:
        async with writing(store, url, log_name) as writer:
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "before")]))
        if loss == "killed":
            own_valkey.kill(VALKEY)
            await own_valkey.start_one(VALKEY)
        else:
            client = redis.Redis.from_url(url)
            await client.flushall()
            await client.aclose()
        assert await reader.head(tenant, log_name, "s") is None

        async def back() -> bool:
            return await reader.head(tenant, log_name, "s") is not None

        await eventually(back)


@pytest.mark.faults
async def test_a_paused_valkey_costs_a_reader_its_deadline_and_then_nothing(
    store: Store, own_valkey: Servers, log_name: str, tenant: str
) -> None:
    url = own_valkey.redis_url
    async with running(projector_of(store, url, log_name)), reading(store, url) as reader:
        async with writing(store, url, log_name) as writer:
            await complete(writer, await append(store, log_name, [turn(tenant, "s", "before")]))
        os.kill(own_valkey.pids[VALKEY], signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert await asyncio.gather(*(reader.turns(tenant, log_name, "s", 5) for _ in range(50))) == [None] * 50
            assert time.monotonic() - began < 1.0
            began = time.monotonic()
            assert await reader.turns(tenant, log_name, "s", 5) is None
            assert time.monotonic() - began < 0.1
        finally:
            os.kill(own_valkey.pids[VALKEY], signal.SIGCONT)

        async def back() -> bool:
            return await reader.turns(tenant, log_name, "s", 5) is not None

        await eventually(back)


async def test_cancelled_reads_never_get_anothers_answer(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    names = [f"s{n}" for n in range(40)]
    last = await append(store, log_name, [turn(tenant, name, f"only of {name}") for name in names])
    async with (
        running(projector_of(store, redis_url, log_name)),
        writing(store, redis_url, log_name) as writer,
        reading(store, redis_url) as reader,
    ):
        await complete(writer, last)
        expected = {name: (await truth(store, tenant, name)).turns[0][1] for name in names}
        for rounds in range(20):
            tasks = [asyncio.create_task(reader.turns(tenant, log_name, name, 5)) for name in names]
            await asyncio.sleep(0)
            for task in tasks[rounds % 3 :: 3]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for name, answer in zip(names, answers, strict=True):
                if not isinstance(answer, asyncio.CancelledError):
                    assert answer is not None
                    assert not isinstance(answer, BaseException)
                    assert answer.turns == [expected[name]]
