"""A rebuild beside live work: under load, interrupted, rolled back, kept for a while, tried dry, begun by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio as redis

from projecting import (
    QUICK,
    append,
    complete,
    eventually,
    projector_of,
    reading,
    running,
    summary,
    truth,
    turn,
    writing,
)
from turnlog_events.event import NewEvent
from turnlog_eventstore import Store
from turnlog_follow import Follower
from turnlog_projector.build import Build, RebuildOptions
from turnlog_projector.pace import PaceOptions
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_projector.rebuild import NothingKept, RebuildReport, rebuild, renew, rollback
from turnlog_projector.refold import refold
from turnlog_projector.upkeep import UpkeepOptions
from turnlog_projector.verify import VerifyOptions, verify
from turnlog_views import PumpSettings, ReaderSettings, ViewReader, ViewWriter, WriterSettings
from turnlog_views.errors import ViewsUnavailable
from turnlog_views.keys import partition_of
from turnlog_views.link import pack

SESSIONS = 10
PATIENT = ReaderSettings(pump=PumpSettings(deadline_s=10))
SETTLE = VerifyOptions(settle_s=10, settle_poll_s=0.05)
SMALL = RebuildOptions(page_events=10, batch_events=10, advance_s=0)


def talk(tenant: str) -> Iterator[NewEvent]:
    for number in range(8):
        for session in range(SESSIONS):
            yield turn(tenant, f"s{session}", f"turn {number} of {session}")
    for session in range(SESSIONS):
        yield summary(tenant, f"s{session}", 1, 4)


@asynccontextmanager
async def projected(store: Store, redis_url: str, log: str, tenant: str, **settings: Any) -> AsyncIterator[ViewWriter]:
    """A log whose read models are complete, its projector running."""
    last = await append(store, log, talk(tenant))
    async with (
        running(projector_of(store, redis_url, log, **settings)),
        writing(store, redis_url, log, **settings) as writer,
    ):
        await complete(writer, last)
        yield writer


@asynccontextmanager
async def under_load(store: Store, redis_url: str, log: str, tenant: str) -> AsyncIterator[list[int]]:
    """Appends all the time, and readers that insist: every read is answered by Redis and no version goes back. What is
    yielded grows by one per read."""
    reads: list[int] = []
    over = asyncio.Event()

    async def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            await append(store, log, [turn(tenant, f"s{number % SESSIONS}", f"load {number}")])

    async def read(reader: ViewReader, session: str) -> None:
        version = 0
        while not over.is_set():
            view = await reader.turns(tenant, log, session, 5)
            assert view is not None
            assert view.version >= version
            version = view.version
            reads.append(version)

    async with reading(store, redis_url, PATIENT) as reader, asyncio.TaskGroup() as group:
        group.create_task(write())
        for session in range(4):
            group.create_task(read(reader, f"s{session}"))
        try:
            while len(reads) < 40:
                await asyncio.sleep(0.001)
            yield reads
        finally:
            over.set()


async def all_true(store: Store, redis_url: str, log: str, tenant: str) -> None:
    """Every session in Redis is what the log says."""
    report = await verify(store, ViewWriter(redis_url, log), options=SETTLE)
    assert report.differences == []
    async with reading(store, redis_url, PATIENT) as reader:
        for session in range(SESSIONS):
            view = await reader.session(tenant, log, f"s{session}")
            assert view is not None
            assert view.state == await truth(store, tenant, f"s{session}")


async def test_under_constant_load_reads_neither_fail_nor_go_back_and_the_generations_are_compared(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        async with under_load(store, redis_url, log_name, tenant) as reads:
            before = len(reads)
            report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True, options=SMALL)
            assert report.comparison is not None
            assert report.comparison.identical
            assert report.comparison.sessions == SESSIONS
            back = await rollback(store, ViewWriter(redis_url, log_name), options=SMALL)
            after = len(reads)
        assert after - before > 20
        assert (report.generation, back.generation, back.kept) == (2, 1, 2)
        assert back.resumed_at > 0
        assert {p.generation for p in await live.partitions()} == {1}
        await all_true(store, redis_url, log_name, tenant)


async def test_whoever_looks_at_all_partitions_at_once_never_sees_two_generations(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        client = redis.Redis.from_url(redis_url)
        over, seen = asyncio.Event(), list[set[bytes]]()

        async def look() -> None:
            while not over.is_set():
                async with client.pipeline(transaction=True) as looking:
                    for key in live.keys.metas:
                        looking.hget(key, "gen")
                    seen.append(set(await looking.execute()))

        async with asyncio.TaskGroup() as group:
            group.create_task(look())
            for _ in range(3):
                await rebuild(store, ViewWriter(redis_url, log_name))
                await rollback(store, ViewWriter(redis_url, log_name))
            over.set()
        await client.aclose()
        assert len({next(iter(found)) for found in seen}) > 2
        assert all(len(found) == 1 for found in seen)


class Interrupted(Exception):
    """Ends a rebuild on its way, as the death of its process would."""


def at_position(position: int) -> Callable[[int, int], None]:
    def progress(reached: int, head: int) -> None:
        if reached >= position:
            raise Interrupted

    return progress


@pytest.mark.parametrize("point", ["begun", "first", "middle", "held", "before the switch", "switched"])
async def test_a_rebuild_that_was_interrupted_goes_on_where_it_was(
    store: Store, redis_url: str, log_name: str, tenant: str, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        progress = at_position({"first": 1, "middle": 50}.get(point, 10**9))

        async def broken(*args: object, **more: object) -> None:
            raise Interrupted

        switch = ViewWriter.switch

        async def broken_after(self: ViewWriter, *args: Any) -> None:
            await switch(self, *args)
            raise Interrupted

        with monkeypatch.context() as patch:
            if point == "begun":
                patch.setattr(Build, "catch_up", broken)
            elif point == "held":
                patch.setattr(ViewWriter, "release", broken)
                patch.setattr(ViewWriter, "switch", broken)
            elif point == "before the switch":
                patch.setattr(ViewWriter, "switch", broken)
            elif point == "switched":
                patch.setattr(ViewWriter, "switch", broken_after)
            with pytest.raises(Interrupted):
                await rebuild(store, ViewWriter(redis_url, log_name), progress=progress, options=SMALL)
        live_now = 2 if point == "switched" else 1
        assert {p.generation for p in await live.partitions()} == {live_now}
        await complete(live, await append(store, log_name, [turn(tenant, "s1", "between")]))
        await all_true(store, redis_url, log_name, tenant)
        report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True, options=SMALL)
        assert report.generation == live_now + 1
        assert (report.resumed_at > 0) == (point in ("middle", "held", "before the switch"))
        assert report.comparison is not None
        assert report.comparison.identical
        await all_true(store, redis_url, log_name, tenant)


async def test_a_build_of_another_history_is_not_continued(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        with pytest.raises(Interrupted):
            await rebuild(store, ViewWriter(redis_url, log_name), progress=at_position(50), options=SMALL)
        await live._link.call([pack("HSET", live.keys.metas[7], "h:2", "ff" * 32)])
        report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True)
        assert (report.generation, report.resumed_at) == (3, 0)


async def test_a_rollback_brings_the_kept_generation_up_to_date_and_works_both_ways(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        with pytest.raises(NothingKept):
            await rollback(store, ViewWriter(redis_url, log_name))
        report = await rebuild(store, ViewWriter(redis_url, log_name))
        assert (report.generation, report.kept) == (2, 1)
        last = await append(store, log_name, [turn(tenant, "s1", "after the switch"), summary(tenant, "s2", 5, 8)])
        await complete(live, last)
        for expected in (1, 2):
            back = await rollback(store, ViewWriter(redis_url, log_name))
            assert (back.generation, back.position) == (expected, last)
            last = await append(store, log_name, [turn(tenant, "s1", f"after the way back to {expected}")])
            await complete(live, last)
            assert {p.generation for p in await live.partitions()} == {expected}
            await all_true(store, redis_url, log_name, tenant)


async def test_a_kept_generation_goes_when_its_time_has_come_by_the_clock_of_the_server(
    store: Store, redis_url: str, log_name: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 86_400)
    async with projected(store, redis_url, log_name, tenant) as live:
        await rebuild(store, ViewWriter(redis_url, log_name), options=RebuildOptions(keep_s=1.0))
        assert await keys_of(live, 1) > 0

        async def gone() -> bool:
            return all(meta.traces == {2} for meta in await live.metas())

        await eventually(gone)
        assert await keys_of(live, 1) == 0
        with pytest.raises(NothingKept):
            await rollback(store, ViewWriter(redis_url, log_name))
        await all_true(store, redis_url, log_name, tenant)


async def test_the_next_rebuild_removes_what_the_last_one_kept(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await rebuild(store, ViewWriter(redis_url, log_name))
        await rebuild(store, ViewWriter(redis_url, log_name))
        assert await keys_of(live, 1) == 0
        assert all(meta.traces == {2, 3} for meta in await live.metas())


async def test_a_build_that_nobody_goes_on_with_is_removed(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        with pytest.raises(Interrupted):
            await rebuild(store, ViewWriter(redis_url, log_name), progress=at_position(50), options=SMALL)
        assert await keys_of(live, 2) > 0
    options = ProjectorOptions(tick_s=0.05, upkeep=UpkeepOptions(abandoned_s=0.2))
    writer = ViewWriter(redis_url, log_name)
    projector = Projector(store, lambda: Follower(store, None, log_name, QUICK), writer, options)
    async with running(projector), writing(store, redis_url, log_name) as live:

        async def gone() -> bool:
            return all(meta.traces == {1} for meta in await live.metas())

        await eventually(gone)
        assert await keys_of(live, 2) == 0
        await all_true(store, redis_url, log_name, tenant)


async def keys_of(writer: ViewWriter, generation: int) -> int:
    return sum([len(page) async for page in writer._scan(writer.keys.pattern(generation))])


async def test_a_dry_run_compares_and_leaves_nothing(store: Store, redis_url: str, log_name: str, tenant: str) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await rebuild(store, ViewWriter(redis_url, log_name))  # so that something is kept
        await damage(live, 2, f"{tenant}/s3")
        before = await live.metas()
        dry = await rebuild(store, ViewWriter(redis_url, log_name), compare=True, options=RebuildOptions(dry_run=True))
        assert dry.comparison is not None
        assert dry.comparison.differing == (f"{tenant}/s3",)
        assert (dry.switched, dry.kept, dry.generation) == (False, None, 3)
        assert await live.metas() == before
        assert await keys_of(live, 3) == 0
        assert (await rollback(store, ViewWriter(redis_url, log_name))).generation == 1


async def damage(writer: ViewWriter, generation: int, identity: str) -> None:
    _, turns, _ = writer.keys.session(partition_of(identity), generation, identity)
    await writer._link.call([pack("LSET", turns, 2, b'{"version":3,"content":"forged"}')])


async def test_sessions_after_a_position_are_made_anew_in_place(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await damage(live, 1, f"{tenant}/s3")
        await damage(live, 1, f"{tenant}/s4")
        last = await append(store, log_name, [turn(tenant, "s3", "newer"), turn(tenant, "s5", "newer")])
        await complete(live, last)
        report = await refold(store, ViewWriter(redis_url, log_name), last - 2)
        assert (report.sessions, report.differing, report.restless) == (2, (f"{tenant}/s3",), ())
        assert (await refold(store, ViewWriter(redis_url, log_name), 0)).differing == (f"{tenant}/s4",)
        await all_true(store, redis_url, log_name, tenant)


async def test_sessions_are_made_anew_under_load_without_a_read_that_goes_back(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant):
        async with under_load(store, redis_url, log_name, tenant):
            report = await refold(store, ViewWriter(redis_url, log_name), 0)
        assert (report.sessions, report.differing, report.restless) == (SESSIONS, (), ())
        await all_true(store, redis_url, log_name, tenant)


async def test_a_session_whose_partition_keeps_moving_is_made_anew_while_its_writes_are_held(
    store: Store, redis_url: str, log_name: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await damage(live, 1, f"{tenant}/s3")
        load, hold, held = ViewWriter.load, ViewWriter.hold, list[int]()

        async def moved_unless_held(self: ViewWriter, *args: Any) -> bool:
            return bool(held) and await load(self, *args)

        async def noting(self: ViewWriter, partitions: Any, hold_s: float) -> None:
            held.extend(partitions)
            await hold(self, partitions, hold_s)

        with monkeypatch.context() as patch:
            patch.setattr(ViewWriter, "load", moved_unless_held)
            patch.setattr(ViewWriter, "hold", noting)
            report = await refold(store, ViewWriter(redis_url, log_name), 0)
        assert (report.differing, report.restless) == ((f"{tenant}/s3",), ())
        assert set(held) <= {partition_of(f"{tenant}/s{n}") for n in range(SESSIONS)}
        await complete(live, await append(store, log_name, [turn(tenant, "s3", "released")]))
        await all_true(store, redis_url, log_name, tenant)


async def test_live_read_models_that_are_behind_are_compared_at_their_own_position(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        await damage(live, 1, f"{tenant}/s3")
    last = await append(store, log_name, [turn(tenant, f"s{n}", "nobody projects this") for n in (2, 3, 4)])
    report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True)
    assert report.comparison is not None
    assert report.comparison.differing == (f"{tenant}/s3",)
    assert report.position == last


async def test_read_models_that_never_were_are_built_by_a_rebuild(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    await append(store, log_name, talk(tenant))
    report = await rebuild(store, ViewWriter(redis_url, log_name), compare=True)
    assert (report.kept, report.switched) == (None, True)
    await all_true(store, redis_url, log_name, tenant)


async def generation_and_version(live: ViewWriter) -> set[tuple[int, int]]:
    return {(p.generation, p.projection) for p in await live.partitions()}


async def test_a_projector_of_another_version_rebuilds_by_itself_and_its_predecessor_takes_the_kept_one_up_again(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        assert await generation_and_version(live) == {(1, 1)}
    await append(store, log_name, [turn(tenant, "s1", "meanwhile")])

    async def switched_to(generation: int, version: int) -> None:
        async def holds() -> bool:
            return await generation_and_version(live) == {(generation, version)}

        await eventually(holds)

    async with writing(store, redis_url, log_name) as live:
        async with running(projector_of(store, redis_url, log_name, projection_version=2)):
            await switched_to(2, 2)
            await complete(live, await append(store, log_name, [turn(tenant, "s2", "by version 2")]))
        async with running(projector_of(store, redis_url, log_name)):
            await switched_to(1, 1)
            await complete(live, (await store.head(log_name)).position)
            assert all(p.mixed_from is None for p in await live.partitions())
            await all_true(store, redis_url, log_name, tenant)


async def test_what_another_version_wrote_to_a_kept_generation_is_made_anew(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        pass
    last = await append(store, log_name, [turn(tenant, "s3", "meanwhile")])
    # Version 2 writes to the generation of version 1 (something else than version 1 would), then leaves it.
    async with writing(store, redis_url, log_name, projection_version=2) as newer:
        projector = projector_of(store, redis_url, log_name, projection_version=2)
        async with running(projector):
            await complete(newer, last)

            async def left() -> bool:
                return await generation_and_version(newer) == {(2, 2)}

            await eventually(left)
        metas = await newer.metas()
        assert any(meta.generations[1].mixed_from is not None for meta in metas)
        await damage(newer, 1, f"{tenant}/s3")
    report = await renew(store, ViewWriter(redis_url, log_name))
    assert report is not None
    assert report.generation == 1
    async with running(projector_of(store, redis_url, log_name)):
        await all_true(store, redis_url, log_name, tenant)
    assert await renew(store, ViewWriter(redis_url, log_name)) is None
    await live.close()


async def test_an_operators_way_back_is_not_undone_by_the_projector_of_the_newer_version(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant):
        pass
    newer = WriterSettings(projection_version=2)
    await renew(store, ViewWriter(redis_url, log_name, newer))
    back = await rollback(store, ViewWriter(redis_url, log_name, newer))
    assert back.generation == 1
    assert await renew(store, ViewWriter(redis_url, log_name, newer)) is None
    assert await renew(store, ViewWriter(redis_url, log_name, WriterSettings(projection_version=3))) is not None


async def test_a_builder_that_dies_holding_the_live_writes_stops_them_for_a_moment_only(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:
        async with writing(store, redis_url, log_name) as dying:
            await dying.metas()
            await dying.hold(range(256), 0.7)
        last = await append(store, log_name, [turn(tenant, "s1", "held")])
        await complete(live, last)
        await live.metas()
        assert live.looked_at_ms - dying.looked_at_ms >= 700


async def test_a_rate_bounds_a_rebuild(store: Store, redis_url: str, log_name: str, tenant: str) -> None:
    async with projected(store, redis_url, log_name, tenant):
        options = RebuildOptions(pace=PaceOptions(events_per_s=100))
        report = await rebuild(store, ViewWriter(redis_url, log_name), options=options)
        assert report.seconds > 0.8 * (SESSIONS * 9 - 50) / 100


async def test_a_rebuild_gives_way_while_the_live_read_models_lag(
    store: Store, redis_url: str, log_name: str, tenant: str
) -> None:
    async with projected(store, redis_url, log_name, tenant):
        pass
    await append(store, log_name, [turn(tenant, "s1", f"unprojected {n}") for n in range(30)])
    pace = PaceOptions(lag_events_max=5, look_s=0, still_s=30, poll_s=0.01)
    options = RebuildOptions(page_events=10, batch_events=10, pace=pace)
    seen: list[int] = []
    building = asyncio.create_task(
        rebuild(store, ViewWriter(redis_url, log_name), progress=lambda at, _: seen.append(at), options=options)
    )
    done, _ = await asyncio.wait({building}, timeout=0.7)
    assert not done
    assert seen == [10]  # it waits after its first portion
    async with running(projector_of(store, redis_url, log_name)):
        report: RebuildReport = await building
    assert report.switched


async def test_a_rebuild_whose_redis_goes_away_leaves_the_live_generation(
    store: Store, redis_url: str, log_name: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with projected(store, redis_url, log_name, tenant) as live:

        async def away(*args: object, **more: object) -> None:
            raise ViewsUnavailable("gone")

        with monkeypatch.context() as patch:
            patch.setattr(ViewWriter, "switch", away)
            with pytest.raises(ViewsUnavailable):
                await rebuild(store, ViewWriter(redis_url, log_name))
        assert {p.generation for p in await live.partitions()} == {1}
        await all_true(store, redis_url, log_name, tenant)
