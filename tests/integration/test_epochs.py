"""PostgreSQL restarted, restored to an older state, or overtaken by other events: read models are held to it again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from projecting import append, complete, eventually, projector_of, reading, running, truth, turn, writing
from turnlog_eventstore import LogHead, Store, StoreUnavailable
from turnlog_follow import Batch
from turnlog_projector.applier import OutOfStep
from turnlog_projector.projector import Projector, ProjectorOptions
from turnlog_projector.rebuild import rebuild
from turnlog_projector.verify import VerifyOptions, verify
from turnlog_views import ViewReader, ViewWriter
from turnlog_views.keys import partition_of
from turnlog_views.link import pack

QUICKLY = VerifyOptions(settle_s=5, settle_poll_s=0.05)
BEFORE, KEPT, AFTER = 30, 20, 40


class Replaced:
    """A store whose PostgreSQL can be "restarted": the epoch is what the test says; `away` as if it did not answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.epoch = "first"
        self.away = False

    async def head(self, log: str) -> LogHead:
        if self.away:
            raise StoreUnavailable("away")
        return replace(await self._store.head(log), epoch=self.epoch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def replaced(store: Store) -> Any:
    return Replaced(store)


async def text(store: Store, log: str, tenant: str, first: int, past: int, what: str) -> int:
    return await append(store, log, [turn(tenant, f"s{n % 3}", f"{what} {n}") for n in range(first, past)])


async def restore(owner_dsn: str, log: str, position: int) -> None:
    """PostgreSQL as it was when the log ended at `position`."""
    owner = await asyncpg.connect(owner_dsn)
    await owner.execute("set session_replication_role = replica")  # no triggers
    await owner.execute("delete from turnlog.events where log = $1 and position > $2", log, position)
    await owner.execute("delete from turnlog.sessions where log = $1 and position > $2", log, position)
    await owner.close()


@asynccontextmanager
async def complete_log(replaced: Any, redis_url: str, log: str, tenant: str) -> AsyncIterator[ViewReader]:
    """A log of `BEFORE` events, projected; no projector runs any more."""
    last = await text(replaced, log, tenant, 0, BEFORE, "first")
    async with reading(replaced, redis_url) as reader:
        async with running(projector_of(replaced, redis_url, log)), writing(replaced, redis_url, log) as writer:
            await complete(writer, last)
            assert await reader.head(tenant, log, "s1") is not None
        yield reader


async def is_true(store: Any, redis_url: str, log: str, tenant: str, reader: ViewReader) -> None:
    report = await verify(store, ViewWriter(redis_url, log), options=QUICKLY)
    assert report.differences == []
    for session in ("s0", "s1", "s2"):
        view = await reader.session(tenant, log, session)
        assert view is not None
        assert view.state == await truth(store, tenant, session)


async def test_another_epoch_is_refused_by_readers_until_the_models_were_held_to_it(
    replaced: Any, redis_url: str, log_name: str, tenant: str
) -> None:
    async with complete_log(replaced, redis_url, log_name, tenant) as reader:
        head = await replaced.head(log_name)
        reader.saw(log_name, head.incarnation, "second")
        assert await reader.head(tenant, log_name, "s1") is None
        reader.saw(log_name, head.incarnation, "first")
        assert await reader.head(tenant, log_name, "s1") is not None
        replaced.epoch = "second"
        reader.saw(log_name, head.incarnation, "second")
        async with running(projector_of(replaced, redis_url, log_name)), writing(replaced, redis_url, log_name) as live:
            await complete(live, BEFORE)
            assert {p.generation for p in await live.partitions()} == {1}  # nothing had to be made anew
            await is_true(replaced, redis_url, log_name, tenant, reader)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_running_projector_notices_another_epoch_by_itself(
    replaced: Any, redis_url: str, log_name: str, tenant: str, busy: bool
) -> None:
    async with (
        complete_log(replaced, redis_url, log_name, tenant) as reader,
        running(projector_of(replaced, redis_url, log_name)),
    ):
        over = asyncio.Event()
        async with writing(replaced, redis_url, log_name) as live:  # it has begun, by the first epoch
            await complete(live, await text(replaced, log_name, tenant, 0, 3, "more"))

        async def write() -> None:
            while busy and not over.is_set():
                await text(replaced, log_name, tenant, 0, 3, "busy")

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            replaced.epoch = "second"
            reader.saw(log_name, (await replaced.head(log_name)).incarnation, "second")

            async def back() -> bool:
                return await reader.head(tenant, log_name, "s1") is not None

            await eventually(back)
            over.set()
        await is_true(replaced, redis_url, log_name, tenant, reader)


@pytest.mark.parametrize("past", [KEPT, KEPT + 5, BEFORE, AFTER], ids=["shorter", "overlaps", "level", "overtaken"])
@pytest.mark.parametrize("runs", [False, True], ids=["projector started anew", "projector goes on"])
async def test_a_log_that_went_back_and_took_other_events_is_projected_anew(
    replaced: Any, redis_url: str, owner_dsn: str, log_name: str, tenant: str, past: int, runs: bool
) -> None:
    async def replace_the_log() -> None:
        await restore(owner_dsn, log_name, KEPT)
        if past > KEPT:
            await text(replaced, log_name, tenant, KEPT, past, "second")
        replaced.epoch = "second"
        reader.saw(log_name, (await replaced.head(log_name)).incarnation, "second")
        assert await reader.head(tenant, log_name, "s1") is None

    async with complete_log(replaced, redis_url, log_name, tenant) as reader:
        if not runs:
            await replace_the_log()
        async with running(projector_of(replaced, redis_url, log_name)):
            if runs:
                await replace_the_log()
            async with writing(replaced, redis_url, log_name) as live:
                await complete(live, past)
                assert {p.generation for p in await live.partitions()} == {2}
            await is_true(replaced, redis_url, log_name, tenant, reader)


async def test_models_without_a_chain_hash_prove_nothing_and_are_made_anew(
    replaced: Any, redis_url: str, log_name: str, tenant: str
) -> None:
    async with complete_log(replaced, redis_url, log_name, tenant) as reader:
        async with writing(replaced, redis_url, log_name) as older:
            await older._link.call([pack("HDEL", older.keys.metas[partition_of(f"{tenant}/s1")], "h:1")])
        async with running(projector_of(replaced, redis_url, log_name)), writing(replaced, redis_url, log_name) as live:

            async def anew() -> bool:
                return {p.generation for p in await live.partitions()} == {2}

            await eventually(anew)
            await complete(live, BEFORE)
            await is_true(replaced, redis_url, log_name, tenant, reader)


async def test_while_postgres_is_away_reads_go_on_by_the_last_known_epoch(
    replaced: Any, redis_url: str, log_name: str, tenant: str
) -> None:
    async with (
        complete_log(replaced, redis_url, log_name, tenant) as reader,
        running(projector_of(replaced, redis_url, log_name)),
    ):
        async with writing(replaced, redis_url, log_name) as live:
            await complete(live, BEFORE)
        replaced.away = True
        for _ in range(50):
            assert await reader.head(tenant, log_name, "s1") is not None
            await asyncio.sleep(0.005)


async def test_what_nats_holds_of_a_lost_history_is_not_projected(
    replaced: Any, redis_url: str, owner_dsn: str, log_name: str, tenant: str
) -> None:
    """The stream still has the tail that PostgreSQL, restored, has lost: its chain follows, yet it is no truth."""
    async with complete_log(replaced, redis_url, log_name, tenant) as reader:
        tail = await replaced.read_after(log_name, KEPT, 100)
        await restore(owner_dsn, log_name, KEPT)
        replaced.epoch = "second"
        reader.saw(log_name, (await replaced.head(log_name)).incarnation, "second")
        sent = asyncio.Event()

        class Stale:
            """A follower: PostgreSQL's events first, then what the stream holds."""

            async def batches(self, after: int) -> AsyncIterator[Batch]:
                if events := await replaced.read_after(log_name, after, 100):
                    yield Batch(tuple(events), after, events[-1].position, events[-1].position)
                    after = events[-1].position
                if after == KEPT:
                    sent.set()
                    yield Batch(tuple(tail), KEPT, BEFORE, BEFORE, from_bus=True)
                while True:
                    yield Batch((), BEFORE, BEFORE, BEFORE, from_bus=True)
                    await asyncio.sleep(0.05)

        options = ProjectorOptions(tick_s=0.05, backoff_first_s=0.01, backoff_last_s=0.1)
        async with running(Projector(replaced, Stale, ViewWriter(redis_url, log_name), options)):
            await sent.wait()
            async with writing(replaced, redis_url, log_name) as live:
                await complete(live, KEPT)
                sent.clear()
                await sent.wait()  # it begins again and again, and never takes them
                assert max(p.checkpoint for p in await live.partitions()) == KEPT
            await is_true(replaced, redis_url, log_name, tenant, reader)


async def test_a_rebuild_over_which_postgres_was_replaced_switches_nothing(
    replaced: Any, redis_url: str, log_name: str, tenant: str
) -> None:
    async with complete_log(replaced, redis_url, log_name, tenant):

        def progress(position: int, head: int) -> None:
            replaced.epoch = "second"

        with pytest.raises(OutOfStep):
            await rebuild(replaced, ViewWriter(redis_url, log_name), progress=progress)
        async with writing(replaced, redis_url, log_name) as live:
            assert {p.generation for p in await live.partitions()} == {1}
