"""The append function on a real PostgreSQL: order, idempotency, rejection, proof, and the walls around history."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from making import mark, request, turn
from turnlog_events import event as ev
from turnlog_events.errors import Corrupt
from turnlog_events.hashing import GENESIS, check_event
from turnlog_eventstore import Rejected, Store, Stored, UnknownLog


def versions(result: object) -> list[int | None]:
    assert isinstance(result, Stored), result
    return [place.version for place in result.events]


async def test_positions_and_versions_are_dense_over_interleaved_sessions(
    store: Store, log_name: str, tenant: str
) -> None:
    batches = [[request(turn(tenant, f"s{n % 3}"), turn(tenant, f"s{n % 3}")) for n in range(7)] for _ in range(4)]
    for batch in batches:
        await store.append(log_name, batch)
    events = await store.read_after(log_name, 0, 1000)
    assert [e.position for e in events] == list(range(1, 57))
    for name in ("s0", "s1", "s2"):
        own = [e.version for e in events if e.session_id == name]
        assert own == list(range(1, len(own) + 1))


async def test_concurrent_appends_leave_no_hole_and_no_inversion(store: Store, log_name: str, tenant: str) -> None:
    async def writer(n: int) -> None:
        for _ in range(20):
            await store.append(log_name, [request(turn(tenant, f"s{n % 2}"))])

    await asyncio.gather(*(writer(n) for n in range(6)))
    events = await store.read_after(log_name, 0, 1000)
    assert [e.position for e in events] == list(range(1, 121))
    for name in ("s0", "s1"):
        assert [e.version for e in events if e.session_id == name] == list(range(1, 61))


async def test_chain_made_in_sql_is_the_chain_computed_in_python(store: Store, log_name: str, tenant: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    odd = turn(tenant, "sess:ion@1+#-x", "żółć \U0001f642 ' \\ \n", agent_id="a", user_id="u")
    marked = mark(tenant, "sess:ion@1+#-x", ev.TURNS_RETRACTED, "retract/1", {"from_version": 1, "to_version": 1},
                  causation_id=odd.event_id, correlation_id="task-1", trace=trace)  # fmt: skip
    await store.append(log_name, [request(odd), request(marked), request(turn(tenant, "other"))])
    previous = GENESIS
    events = await store.read_after(log_name, 0, 10)
    for event in events:
        check_event(previous, event)
        previous = event.chain_hash
    assert len(events) == 3
    assert (await store.head(log_name)).chain_hash == previous


async def test_same_turn_again_gets_the_first_answer_marked_duplicate(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    first = await store.append(
        log_name, [request(turn(tenant, session_id, "a", "k1"), turn(tenant, session_id, "b", "k2"))]
    )
    again = await store.append(
        log_name, [request(turn(tenant, session_id, "a", "k1"), turn(tenant, session_id, "b", "k2"))]
    )
    assert isinstance(first[0], Stored)
    assert isinstance(again[0], Stored)
    assert [p.duplicate for p in again[0].events] == [True, True]
    assert [(p.position, p.version, p.recorded_at_us, p.event_id) for p in again[0].events] == [
        (p.position, p.version, p.recorded_at_us, p.event_id) for p in first[0].events
    ]
    assert (await store.head(log_name)).position == 2


async def test_request_of_old_and_new_turns_stores_only_the_new_ones(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    await store.append(log_name, [request(turn(tenant, session_id, "a", "k1"))])
    mixed = await store.append(
        log_name, [request(turn(tenant, session_id, "a", "k1"), turn(tenant, session_id, "new", "k2"))]
    )
    assert isinstance(mixed[0], Stored)
    assert [(p.version, p.duplicate) for p in mixed[0].events] == [(1, True), (2, False)]


async def test_same_id_with_another_body_rejects_the_whole_request_and_not_its_neighbours(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    await store.append(log_name, [request(turn(tenant, session_id, "a", "k1"))])
    results = await store.append(
        log_name,
        [
            request(turn(tenant, session_id, "before")),
            request(turn(tenant, session_id, "new", "k9"), turn(tenant, session_id, "CHANGED", "k1")),
            request(turn(tenant, session_id, "after")),
        ],
    )
    assert versions(results[0]) == [2]
    assert results[1] == Rejected("conflict", 2, "k1")
    assert versions(results[2]) == [3]
    assert (await store.head(log_name)).position == 3


async def test_expected_version_is_checked_in_the_order_of_the_batch(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    results = await store.append(
        log_name,
        [
            request(turn(tenant, session_id), expected=0),
            request(turn(tenant, session_id), expected=0),
            request(turn(tenant, session_id), expected=1),
        ],
    )
    assert versions(results[0]) == [1]
    assert results[1] == Rejected("version_mismatch", 1)
    assert versions(results[2]) == [2]


async def test_expected_version_is_skipped_only_when_every_turn_is_a_duplicate(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    await store.append(log_name, [request(turn(tenant, session_id, "a", "k1"), expected=0)])
    again = await store.append(log_name, [request(turn(tenant, session_id, "a", "k1"), expected=0)])
    assert versions(again[0]) == [1]
    mixed = await store.append(
        log_name, [request(turn(tenant, session_id, "a", "k1"), turn(tenant, session_id, "b", "k2"), expected=0)]
    )
    assert mixed[0] == Rejected("version_mismatch", 1)


async def test_summaries_take_a_position_but_no_version(
    store: Store, log_name: str, tenant: str, session_id: str
) -> None:
    await store.append(log_name, [request(turn(tenant, session_id))])
    marked = mark(
        tenant, session_id, ev.COMPRESSION_REQUESTED, "task/t/requested", {"task_id": "t"}, correlation_id="t"
    )
    results = await store.append(log_name, [request(marked), request(turn(tenant, session_id), expected=1)])
    assert versions(results[0]) == [None]
    assert versions(results[1]) == [2]
    assert [e.type for e in await store.marks(tenant, session_id)] == [ev.COMPRESSION_REQUESTED]
    assert [e.position for e in await store.task_events(tenant, "t")] == [2]


async def test_same_ids_of_two_tenants_are_two_turns(store: Store, log_name: str, tenant: str, session_id: str) -> None:
    results = await store.append(
        log_name,
        [request(turn(tenant, session_id, "a", "k")), request(turn(f"{tenant}.b", session_id, "b", "k"))],
    )
    assert [versions(r) for r in results] == [[1], [1]]


async def test_a_log_that_does_not_exist_is_named(store: Store, tenant: str) -> None:
    with pytest.raises(UnknownLog, match="no-such-log"):
        await store.append("no-such-log", [request(turn(tenant, "s"))])


async def test_sessions_are_listed_newest_first_and_by_agent_and_user(store: Store, log_name: str, tenant: str) -> None:
    for n in range(4):
        agent, user = f"agent{n % 2}", f"user{n % 3}"
        await store.append(log_name, [request(turn(tenant, f"s{n}", agent_id=agent, user_id=user))])
    await store.append(log_name, [request(turn(tenant, "s0", agent_id="late"), turn(tenant, "s0", agent_id="late"))])
    assert [s.session_id for s in await store.sessions(tenant, limit=3)] == ["s3", "s2", "s1"]
    assert [s.session_id for s in await store.sessions(tenant, limit=9, agent_id="agent0")] == ["s2", "s0"]
    assert [s.session_id for s in await store.sessions(tenant, limit=9, user_id="user0")] == ["s3", "s0"]
    assert [s.session_id for s in await store.sessions(tenant, limit=9, agent_id="agent0", user_id="user0")] == ["s0"]
    assert [s.session_id for s in await store.sessions(tenant, limit=9, before_position=2)] == ["s0"]
    members = await store.members(tenant, "s0")
    assert (members.agents, members.users) == (("agent0", "late"), ("user0",))
    assert await store.agent_seen(tenant, "late")
    assert not await store.agent_seen(f"{tenant}-other", "late")


async def test_turns_come_ascending_from_either_end(store: Store, log_name: str, tenant: str, session_id: str) -> None:
    await store.append(log_name, [request(*(turn(tenant, session_id, agent_id=f"a{n % 2}") for n in range(10)))])

    async def read(**how: object) -> list[int | None]:
        return [e.version for e in await store.turns(tenant, session_id, **how)]  # type: ignore[arg-type]

    assert await read(limit=3) == [8, 9, 10]
    assert await read(limit=3, newest_first=False) == [1, 2, 3]
    assert await read(limit=3, before_version=6) == [3, 4, 5]
    assert await read(limit=99, after_version=7) == [8, 9, 10]
    assert await read(limit=2, agent_id="a1") == [8, 10]
    assert await store.session_version(tenant, session_id) == 10
    assert await store.session_version(tenant, "absent") == 0


@pytest.fixture
async def owner(owner_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(owner_dsn)
    yield connection
    await connection.close()


CHANGES = [
    "update turnlog.events set payload = 'x' where position = 1",
    "delete from turnlog.events where position = 1",
    "truncate turnlog.events",
    "delete from turnlog.sessions",
    "update turnlog.logs set incarnation = 'x'",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_even_the_owner_cannot_change_history_by_plain_sql(
    owner: "asyncpg.Connection[asyncpg.Record]", change: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner.execute(change)


@pytest.mark.parametrize(
    "change", [*CHANGES, "alter table turnlog.events disable trigger all", "drop table turnlog.events"]
)
async def test_the_application_role_has_no_grant_to_change_history(dsn: str, change: str) -> None:
    connection = await asyncpg.connect(dsn, server_settings={"role": "turnlog_app"})
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
    finally:
        await connection.close()


async def test_one_byte_changed_behind_the_walls_breaks_the_proof(
    store: Store, log_name: str, tenant: str, owner: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await store.append(log_name, [request(turn(tenant, "s", "Pay 100")), request(turn(tenant, "s", "ok"))])
    async with owner.transaction():
        await owner.execute("set local session_replication_role = replica")
        await owner.execute(
            "update turnlog.events set payload = set_byte(payload, 12, get_byte(payload, 12) # 1) "
            "where log = $1 and position = 1",
            log_name,
        )
    with pytest.raises(Corrupt, match="payload does not match"):
        check_event(GENESIS, (await store.read_after(log_name, 0, 1))[0])


async def test_leadership_passes_on_when_the_leader_leaves(store: Store, log_name: str) -> None:
    second = asyncio.Event()

    async def stand_by() -> None:
        async with store.leadership(f"test/{log_name}"):
            second.set()

    async with store.leadership(f"test/{log_name}"):
        task = asyncio.create_task(stand_by())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(second.wait()), 1)
    await asyncio.wait_for(second.wait(), 5)
    await task
