"""Each fault is made once on a small world while a trickle of turns is written: it must bite, and heal.

What needs more processes than this world has is left to the runs (`LEFT_TO_RUNS`).
"""

import asyncio
import contextlib
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from faults.bites import Marks, ask, ask_model, environment_of, fetch, postgres_through_proxy, store
from faults.capabilities import DAY_S, missing
from faults.inject import FAULTS, Fault
from faults.world import SERVICES, World, WorldPlan, running

pytestmark = pytest.mark.faults
SEED = 7
SOON_S = 15.0
BITE_S = 8.0
NAMED = {fault.name: fault for fault in FAULTS}
LEFT_TO_RUNS = {f"{service}-{how}" for service in SERVICES[1:] for how in ("killed", "paused")} | {"reads-cut"}
ASKED = {
    "postgres": {"killed": "broken", "refusing": "broken", "paused": "silence", "half-open": "silence"},
    "nats": {"killed": "broken", "refusing": "broken", "paused": "silence", "half-open": "silence"},
    "valkey": {"killed": "broken", "refusing": "broken", "paused": "silence", "half-open": "silence"},
    "model": {
        "slow": "silence",
        "silent": "silence",
        "half": "broken",
        "half-open": "silence",
        "unreachable": "broken",
    },
    "ingest": {"killed": "broken", "paused": "silence", "half-open": "silence"},
}
BY_ASKING = [(f"{where}-{how}", where, answer) for where, hows in ASKED.items() for how, answer in hows.items()]


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="turnlog-faults-"))
    try:
        async with running(folder, WorldPlan(replicas=1, services=("ingest",), disk_mib=320)) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
async def trickle(world: World) -> AsyncIterator[None]:
    """Turns are written all the time; before and after each test the world is well."""

    async def write() -> None:
        for tenant in itertools.cycle(world.tenants):
            with contextlib.suppress(httpx.HTTPError):
                await store(world.of("ingest")[0].url, "x" * 2_000, tenant)
            await asyncio.sleep(0.05)

    await world.healthy(SOON_S)
    writing = asyncio.create_task(write())
    yield
    writing.cancel()
    await asyncio.wait({writing})
    await world.healthy(SOON_S)
    assert not world.deaths, "replicas ended by themselves"


@asynccontextmanager
async def applied(world: World, name: str) -> AsyncIterator[None]:
    """The fault is there; skipped with the reason where it cannot be made."""
    fault = NAMED[name]
    if reason := missing(fault.needs):
        pytest.skip(reason)
    async with fault.apply(world, random.Random(SEED)):
        yield


async def until(holds: Callable[[], Awaitable[bool]], what: str, deadline_s: float = BITE_S) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            while not await holds():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {deadline_s:g} s: {what}")


async def until_it_answers(world: World, where: str) -> None:
    async def answers() -> bool:
        return await ask(world, where, 2.0) == "answer"

    await until(answers, f"an answer of {where}")


def log_of(world: World, server: str) -> Callable[[], str]:
    """What a server logs from now on."""
    path = world.servers.log_path(server)
    start = path.stat().st_size
    return lambda: path.read_bytes()[start:].decode(errors="replace")


@pytest.mark.parametrize("name, where, answer", BY_ASKING)
async def test_a_fault_shows_on_the_way_that_services_take_and_is_gone_when_healed(
    world: World, name: str, where: str, answer: str
) -> None:
    assert await ask(world, where, 3.0) == "answer"
    async with applied(world, name):
        assert await ask(world, where) == answer
    await until_it_answers(world, where)


@pytest.mark.parametrize("where", ["postgres", "nats", "valkey"])
async def test_slow_takes_longer(world: World, where: str) -> None:
    async with applied(world, f"{where}-slow"):
        began = time.monotonic()
        assert await ask(world, where, 5.0) == "answer"
        assert time.monotonic() - began > 0.05
    await until_it_answers(world, where)


@pytest.mark.parametrize("where", ["postgres", "nats", "valkey"])
async def test_cut_connections_break_though_the_server_runs(world: World, where: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.proxies[where].port)
    pid = world.servers.pids[where]
    async with applied(world, f"{where}-cut"):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(BITE_S):
                await reader.readexactly(1_000_000)
    writer.transport.abort()
    assert world.servers.pids[where] == pid


@pytest.mark.parametrize("where", ["postgres", "nats", "valkey"])
async def test_restarted_is_another_process_with_the_same_data(world: World, where: str) -> None:
    pid, mark = world.servers.pids[where], f"restarted_{where}"
    await Marks(world).set(where, mark)
    async with applied(world, f"{where}-restarted"):
        assert world.servers.pids[where] != pid
    assert await Marks(world).there(where, mark)


@pytest.mark.parametrize("name", ["nats-wiped", "valkey-wiped", "valkey-flushed"])
async def test_wiped_has_forgotten(world: World, name: str) -> None:
    where, mark = name.split("-")[0], name.replace("-", "_")
    await Marks(world).set(where, mark)
    async with applied(world, name):
        assert not await Marks(world).there(where, mark)


@pytest.mark.parametrize("where", ["nats", "valkey"])
async def test_restored_older_knows_what_was_before_the_copy_and_not_what_came_after(world: World, where: str) -> None:
    marks = Marks(world)
    await marks.set(where, "before")
    async with AsyncExitStack() as stack:
        async with marks.after_the_copy(where, "after"):
            await stack.enter_async_context(applied(world, f"{where}-restored-older"))
        assert await marks.there(where, "before")
        assert not await marks.there(where, "after")


async def test_postgres_restored_older_stores_nothing_and_loses_nothing(world: World) -> None:
    marks, url = Marks(world), world.of("ingest")[0].url
    async with AsyncExitStack() as stack:
        async with marks.after_the_copy("postgres", "after"):
            await stack.enter_async_context(applied(world, "postgres-restored-older"))
        assert not await marks.there("postgres", "after")
        older = await world.heads()
        answer = await store(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_fenced")
        assert await world.heads() == older
    assert await marks.there("postgres", "after")
    assert (await world.heads())["main"] > older["main"]

    async def stores() -> bool:
        return (await store(url)).status_code == 201

    await until(stores, "a turn is stored again")


async def test_a_killed_process_of_postgres_ends_all_its_sessions(world: World) -> None:
    said = log_of(world, "postgres")
    connection = await asyncpg.connect(postgres_through_proxy(world))

    async def ended() -> bool:
        return connection.is_closed() or "terminated by signal 9" in said()

    async with applied(world, "postgres-crashed"):
        await until(ended, "the sessions end")
    connection.terminate()
    await until_it_answers(world, "postgres")


async def test_a_full_disk_refuses_to_grow_and_grows_when_freed(world: World) -> None:
    grow = "insert into growing select repeat(md5(n::text), 200) from generate_series(1, 20000) n"
    await fetch(world, "create table growing (word text)")
    async with applied(world, "disk-full"):
        with pytest.raises((asyncpg.DiskFullError, asyncpg.PostgresConnectionError, OSError)):
            await fetch(world, grow)
        assert "No space left on device" in world.servers.log_path("postgres").read_text()
    await fetch(world, "truncate growing")
    await until_it_answers(world, "postgres")


@pytest.mark.parametrize("seed", [1, 2])  # the disk is well at the first panic; only when healed
async def test_failing_fsyncs_end_all_sessions(world: World, seed: int) -> None:
    said = log_of(world, "postgres")

    async def panicked() -> bool:
        return "PANIC" in said()

    fault = NAMED["fsync-errors"]
    if reason := missing(fault.needs):
        pytest.skip(reason)
    async with fault.apply(world, random.Random(seed)):
        await until(panicked, "PostgreSQL panics")
    await until_it_answers(world, "postgres")


async def test_the_clock_of_postgres_is_a_day_off(world: World) -> None:
    async with applied(world, "clock-of-postgres"):
        now_s = float(await fetch(world, "select extract(epoch from clock_timestamp())"))
        assert 80_000 < abs(now_s - time.time()) < 90_000
    now_s = float(await fetch(world, "select extract(epoch from clock_timestamp())"))
    assert abs(now_s - time.time()) < 60


async def test_the_clock_of_services_is_a_day_off(world: World) -> None:
    replica = world.of("ingest")[0]
    async with applied(world, "clock-of-services"):
        assert abs(int(environment_of(replica.pid)["WALL_CLOCK_OFF_S"])) == DAY_S
        stored = await store(replica.url)
        assert stored.status_code == 201
    assert "WALL_CLOCK_OFF_S" not in environment_of(replica.pid)


@pytest.mark.parametrize("name, looks", [("refuses", (500, 429)), ("garbage", (200,)), ("endless", (200,))])
async def test_the_model_misbehaves_and_is_well_again(world: World, name: str, looks: tuple[int, ...]) -> None:
    async with applied(world, f"model-{name}"):
        status, body = await ask_model(world, 5.0)
        assert status in looks
        assert b"[7] seven" not in body
        assert (len(body) > 2**21) == (name == "endless")
    assert b"[7] seven" in (await ask_model(world, 5.0))[1]


async def test_a_lost_answer_was_stored(world: World) -> None:
    before = (await world.heads())["main"]
    async with applied(world, "answers-lost"):
        with pytest.raises(httpx.TransportError):
            await store(world.ingest_urls[0], "the answer to this is lost")

    async def grown() -> bool:
        return (await world.heads())["main"] > before

    await until(grown, "the turn is stored")
    assert (await store(world.ingest_urls[0])).status_code == 201


async def test_a_cut_request_stores_nothing(world: World) -> None:
    async with applied(world, "requests-cut"):
        with pytest.raises(httpx.TransportError):
            await store(world.ingest_urls[0], "cut " * 1_000)
    cut = "select count(*) from turnlog.events where position('cut cut' in convert_from(payload, 'utf8')) > 0"
    assert await fetch(world, cut) == 0


async def test_a_rolling_restart_ends_every_process_in_order(world: World) -> None:
    pids = {name: replica.pid for name, replica in world.replicas.items()}
    world.exits.clear()
    async with applied(world, "restarted-in-turn"):
        assert all(replica.pid != pids[name] for name, replica in world.replicas.items())
    assert world.exits == [("ingest-1", 0)]


def test_every_fault_is_tested_here_or_left_to_the_runs() -> None:
    text = Path(__file__).read_text()
    shown = {name for name, _, _ in BY_ASKING} | LEFT_TO_RUNS
    shown |= {f"{where}-{how}" for where in ("postgres", "nats", "valkey") for how in ("slow", "cut", "restarted")}
    shown |= {f"{where}-restored-older" for where in ("nats", "valkey")}
    shown |= {f"model-{how}" for how in ("refuses", "garbage", "endless")}
    assert [name for name in NAMED if name not in shown and f'"{name}"' not in text] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_callers_may_see_is_said_in_known_words(fault: Fault) -> None:
    assert fault.writes <= {"stored", "refused", "unknown"}
    assert fault.warm_reads <= fault.reads <= {"answered", "stale", "refused"}
    assert fault.hold_s > 0
