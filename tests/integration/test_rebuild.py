"""Rebuild and verification on real PostgreSQL and Valkey."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

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
from turnlog_events.effects import effect_of
from turnlog_events.event import NewEvent
from turnlog_eventstore import Store
from turnlog_projector.applier import Applier
from turnlog_projector.rebuild import RebuildOptions, rebuild
from turnlog_projector.stages import ahead, counted, pages, with_effects
from turnlog_projector.verify import VerifyOptions, verify
from turnlog_views import ViewWriter
from turnlog_views.keys import partition_of
from turnlog_views.link import pack
from turnlog_views.partitions import Mode, Partition
from turnlog_views.wire import effect_arguments

SESSIONS = 12
QUICKLY = VerifyOptions(settle_s=0.2, settle_poll_s=0.05, page_events=7)


def conversation(tenant: str, turns: int = 8) -> Iterator[NewEvent]:
    """Turns, a summary and a retraction in each of `SESSIONS` sessions."""
    for number in range(turns):
        for session in range(SESSIONS):
            yield turn(tenant, f"s{session}", f"turn {number} of {session}", f"agent{number % 3}")
    for session in range(SESSIONS):
        yield summary(tenant, f"s{session}", 1, 4)
        yield retraction(tenant, f"s{session}", 6, 6)


@asynccontextmanager
async def projected(store: Store, redis_url: str, log: str, tenant: str) -> AsyncIterator[ViewWriter]:
    """A log whose read models are complete, its projector running."""
    last = await append(store, log, conversation(tenant))
    async with running(projector_of(store, redis_url, log)), writing(store, redis_url, log) as writer:
        await complete(writer, last)
        yield writer


async def keys_of(writer: ViewWriter, generation: int) -> int:
    return sum([len(page) async for page in writer._scan(writer.keys.pattern(generation))])


async def _gone(live: ViewWriter, generation: int) -> bool:
    return await keys_of(live, generation) == 0


async def test_a_rebuild_is_byte_for_byte_the_live_state(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live, reading(store, redis_url) as reader:
        before = await reader.session(tenant, log_name, "s3")
        seen: list[tuple[int, int]] = []
        report = await rebuild(
            store,
            ViewWriter(redis_url, log_name),
            compare=True,
            progress=lambda at, head: seen.append((at, head)),
            options=RebuildOptions(batch_events=10, keep_s=0),
        )
        assert report.comparison is not None
        assert report.comparison.identical
        assert (report.generation, report.comparison.sessions, report.comparison.evicted) == (2, SESSIONS, 0)
        assert seen[-1] == (120, 120)
        assert {p.generation for p in await live.partitions()} == {2}
        await eventually(lambda: _gone(live, 1))
        assert report.deleted_keys <= SESSIONS * 3  # the projector removes what is kept no longer, too
        assert before is not None
        assert await reader.session(tenant, log_name, "s3") == before


async def test_the_stages_keep_order_and_compute_the_effect_of_each_event(
    store: Store, log_name: str, tenant: str
) -> None:
    await append(store, log_name, conversation(tenant))
    stages = with_effects(ahead(counted(ahead(pages(store, log_name, 0, 50)), 10**6)), 70, 10**6)
    made = [(list(events), arguments) async for events, arguments in stages]
    assert [len(events) for events, _ in made] == [50, 70]
    assert [event.position for events, _ in made for event in events] == list(range(1, 121))
    for events, arguments in made:
        assert arguments == [effect_arguments(event.position, effect_of(event)) for event in events]


async def test_portions_stay_below_their_bytes(store: Store, log_name: str, tenant: str) -> None:
    await append(store, log_name, conversation(tenant))
    stages = with_effects(counted(pages(store, log_name, 0, 50), 500), 1000, 500)
    made = [events async for events, _ in stages]
    assert sum(map(len, made)) == 120
    assert all(sum(len(event.payload) for event in events) <= 500 for events in made if len(events) > 1)


async def test_a_rebuild_mends_what_was_damaged_and_says_so(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await damage_redis(live, f"{tenant}/s1")
        report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True)
        assert report.comparison is not None
        assert report.comparison.differing == (f"{tenant}/s1",)
        assert (await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)).ok


async def test_the_live_projector_carries_on_in_the_new_generation(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live, reading(store, redis_url) as reader:
        written = asyncio.Event()

        async def write() -> int:
            last = 0
            for number in range(60):
                last = await append(store, log_name, [turn(tenant, f"s{number % SESSIONS}", f"during {number}")])
                written.set()
            return last

        async with asyncio.TaskGroup() as group:
            writes = group.create_task(write())
            await written.wait()
            report = await rebuild(store, ViewWriter(redis_url, log_name), options=RebuildOptions(batch_events=10))
        last = await append(store, log_name, [turn(tenant, "s0", "after")])
        assert last > writes.result()
        await complete(live, last)
        assert {p.generation for p in await live.partitions()} == {report.generation}
        for session in range(SESSIONS):
            view = await reader.session(tenant, log_name, f"s{session}")
            assert view is not None
            assert view.state == await truth(store, tenant, f"s{session}")


async def test_leftovers_of_a_rebuild_with_another_window_are_swept(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        async with writing(store, redis_url, log_name, window_turns=7) as other:
            await other.begin(2)
            crashed = Applier(store, other, [Partition(n, generation=2) for n in range(256)], Mode.BUILD)
            await crashed.apply(await store.read_after(log_name, 0, 50))
        assert await keys_of(live, 2) > 0
        report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True)
        assert (report.generation, report.resumed_at) == (3, 0)
        assert await keys_of(live, 2) == 0
        assert report.comparison is not None
        assert report.comparison.identical


async def test_an_empty_log_can_be_rebuilt_and_verified(store: Store, redis_url: str, log_name: str) -> None:
    async with running(projector_of(store, redis_url, log_name)), writing(store, redis_url, log_name) as writer:
        await complete(writer, 0)
        assert (await rebuild(store, ViewWriter(redis_url, log_name), compare=True)).position == 0
        assert (await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)).ok


async def test_verify_is_green_on_a_whole_log(store: Store, redis_url: str, log_name: str, tenant: str) -> None:
    async with projected(store, redis_url, log_name, tenant):
        report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    assert report.differences == []
    assert (report.ok, report.position, report.sessions, report.absent) == (True, 120, SESSIONS, 0)


async def damage_redis(writer: ViewWriter, identity: str) -> None:
    _, turns, _ = writer.keys.session(partition_of(identity), 1, identity)
    await writer._link.call([pack("LSET", turns, 2, b'{"version":3,"content":"forged"}')])


async def test_verify_finds_a_forged_turn_in_redis(store: Store, redis_url: str, log_name: str, tenant: str) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await damage_redis(live, f"{tenant}/s2")
        report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    assert [(d.what, d.where) for d in report.differences] == [("turn 3", f"{tenant}/s2")]
    assert "forged" not in str(report.differences)


async def test_verify_counts_an_evicted_session_as_absent_not_wrong(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await live._link.call([pack("DEL", *live.keys.session(partition_of(f"{tenant}/s2"), 1, f"{tenant}/s2"))])
        report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    assert (report.ok, report.absent) == (True, 1)


async def test_verify_finds_a_session_that_the_log_does_not_know(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        stranger = f"{tenant}/stranger"
        head, _, _ = live.keys.session(partition_of(stranger), 1, stranger)
        await live._link.call([pack("HSET", head, "i", stranger)])
        report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    assert [(d.what, d.where) for d in report.differences] == [("session that the log does not know", stranger)]


async def test_verify_says_when_read_models_stay_behind(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant):
        pass
    last = await append(store, log_name, [turn(tenant, "s0", "nobody projects this")])
    report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    assert {d.what for d in report.differences} == {"read models are behind the log"}
    assert {(d.expected, d.found) for d in report.differences} == {(str(last), "120")}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("payload = overlay(payload placing '\\x7a'::bytea from 12 for 1)", {"payload hash"}),
        ("recorded_at_us = recorded_at_us + 1", {"chain hash"}),
    ],
)
async def test_verify_finds_one_byte_changed_in_postgres(
    store: Store, owner_dsn: str, redis_url: str, log_name: str, tenant: str, change: str, found: set[str]
) -> None:
    async with projected(store, redis_url, log_name, tenant):
        superuser = await asyncpg.connect(owner_dsn)
        await superuser.execute("set session_replication_role = replica")  # no triggers
        await superuser.execute(f"update turnlog.events set {change} where log = $1 and position = 17", log_name)
        await superuser.close()
        report = await verify(store, ViewWriter(redis_url, log_name), options=QUICKLY)
    hashes = [d for d in report.differences if d.where == f"{log_name}:17"]
    assert {d.what for d in hashes} == found
    assert {d.what for d in report.differences} - found  # and the read model, made before, is not what it says now
