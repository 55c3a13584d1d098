"""Behind the shipped gateway (real nginx, `deploy/nginx`) with two ingest and two query replicas: what happens to
clients when one of them is killed, paused or replaced under load."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from balanced import Balanced, balanced
from balanced_load import CLIENTS, STREAMED, Load, placements
from conftest import RealServers
from making import new_log
from querying import fresh
from rolling import Replica
from turnlog_client import AsyncClient
from turnlog_events.event import TURN_STORED
from turnlog_eventstore import Store

SMOKE = Path(__file__).parents[2] / ".github" / "smoke.py"
PAUSE_S = 2.0
HANGS_S = 2.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def log(servers: RealServers) -> str:
    return await new_log(servers.owner_dsn)


@pytest.fixture(scope="module")
async def system(servers: RealServers, log: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Balanced]:
    async with balanced(servers, log, tmp_path_factory.mktemp("balanced")) as running:
        yield running


async def check(load: Load, store: Store, log: str) -> None:
    """No acknowledged turn lost, none twice, none elsewhere; versions and positions without holes; every listener got
    every turn once, in order."""
    acknowledged = placements(load.writers)
    for writer in load.writers:
        turns = await store.turns("default", writer.session, limit=10_000)
        found = {turn.key: (turn.version, turn.position) for turn in turns}
        assert found == acknowledged[writer.session]
        assert [turn.version for turn in turns] == list(range(1, len(found) + 1))
        assert writer.heard in ([], list(range(1, len(found) + 1)))
    assert sum(bool(writer.heard) for writer in load.writers) > 0
    assert load.retractions > 0
    assert len(await store.turns("default", load.taken_back, limit=10_000)) == load.retractions
    assert len(await store.marks("default", load.taken_back)) == load.retractions
    positions, stored = [], 0
    async for batch in store.scan(log, 0, 5_000):
        positions += [event.position for event in batch]
        stored += sum(event.type == TURN_STORED and event.session_id in acknowledged for event in batch)
    assert positions == list(range(1, len(positions) + 1))
    assert stored == sum(map(len, acknowledged.values()))


def unusual(system: Balanced) -> str:
    """The last that the gateway said of anything but success."""
    return "\n".join([line for line in system.gateway.log().splitlines() if '"status":"2' not in line][-20:])


async def restarted(replica: Replica) -> None:
    """Ended as a deployment ends it, and started again at the same place."""
    replica.terminate()
    assert await replica.ended() == 0, replica.log()
    await replica.start()


async def test_replicas_are_replaced_one_after_the_other_and_no_request_fails(
    system: Balanced, store: Store, log: str
) -> None:
    async with Load(system.url) as load:
        await load.more(10)
        for pair in zip(system.ingest, system.query, strict=True):
            await asyncio.gather(*map(restarted, pair))
            await load.more(5)
    assert load.failures("write", "read") == [], unusual(system)
    assert sum(attempt.kind == "stream" for attempt in load.attempts) >= 2 * STREAMED, "each stream was resumed"
    await check(load, store, log)


async def test_a_killed_replica_costs_at_most_what_it_was_answering(system: Balanced, store: Store, log: str) -> None:
    async with Load(system.url) as load:
        await load.more(10)
        for replica in (system.ingest[0], system.query[0]):
            await replica.kill()
            await load.more(10)
        for replica in (system.ingest[0], system.query[0]):
            await replica.start()
        await load.more(10)
    assert load.failures("read") == [], unusual(system)  # a read is asked again at the other replica
    assert len(load.failures("write")) <= CLIENTS + 1
    assert {attempt.answer for attempt in load.failures("write")} <= {504}
    await check(load, store, log)


async def test_replicas_that_hang_delay_and_nothing_is_lost_or_stored_twice(
    system: Balanced, store: Store, log: str
) -> None:
    async with Load(system.url) as load:
        await load.more(5)
        for hanging in (system.ingest[1], system.query[1]):
            hanging.pause()
        try:
            await asyncio.sleep(PAUSE_S)  # how long they hang is what is tested
        finally:
            for hanging in (system.ingest[1], system.query[1]):
                hanging.resume()
        await load.more(10)
    await check(load, store, log)


async def test_the_same_turn_sent_many_times_at_once_is_stored_once(system: Balanced, store: Store) -> None:
    session = fresh("once")
    async with AsyncClient(system.url, api_key="") as client:
        sends = [client.store(session, "user", "once", turn_id="the-one") for _ in range(24)]
        answers = await asyncio.gather(*sends)
    assert {(a.version, a.position) for a in answers} == {(1, answers[0].position)}
    assert sum(not answer.duplicate for answer in answers) == 1
    assert len(await store.turns("default", session, limit=10)) == 1


async def test_what_a_dying_replica_may_have_stored_is_not_sent_to_another(system: Balanced, store: Store) -> None:
    """The gateway cannot know whether a write without an id was stored, so it says that nobody knows."""
    sessions = [fresh("maybe") for _ in range(8)]
    async with httpx.AsyncClient(base_url=system.url, timeout=60) as client:
        for session in sessions:
            (await client.post(f"/v1/sessions/{session}/turns", json=TURN)).raise_for_status()
        dying = system.ingest[0]
        dying.pause()
        try:
            asked = [
                asyncio.create_task(write(client, method, session))
                for method, session in zip(("POST", "DELETE") * 4, sessions, strict=True)
            ]
            done, waiting = await asyncio.wait(asked, timeout=HANGS_S)
            assert done
            assert waiting
        finally:
            await dying.kill()
        answers = await asyncio.gather(*asked)
        await dying.start()
    unknown = [s for s, answer in zip(sessions, answers, strict=True) if not answer.is_success]
    assert unknown
    for answer in answers:
        if not answer.is_success:
            assert answer.status_code == 504, answer.text
            assert answer.json()["error"]["code"] == "outcome_unknown"
    for session in unknown:
        assert await events_of(store, session) == 1


def smoke(url: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SMOKE), "--wait", "20"]
    return subprocess.run(command, env={"TURNLOG_URL": url}, capture_output=True, text=True, timeout=60, check=False)


def test_the_check_of_a_deployment_passes_here(system: Balanced) -> None:
    done = smoke(system.url)
    assert done.returncode == 0, done.stderr
    assert "it works: stored at" in done.stdout
    assert "read back" in done.stdout


TURN = {"role": "user", "content": "said once"}


async def write(client: httpx.AsyncClient, method: str, session: str) -> httpx.Response:
    path = f"/v1/sessions/{session}/turns"
    if method == "POST":
        return await client.post(path, json=TURN)
    return await client.delete(path, params={"from_version": 1, "to_version": 1})


async def events_of(store: Store, session: str) -> int:
    turns = await store.turns("default", session, limit=10)
    return len(turns) + len(await store.marks("default", session))
