"""The queue of a group commit: each tenant's order is kept, tenants take turns, and none can fill it."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from making import request, turn
from turnlog_ingest.fair_queue import SHARED_S, FairQueue, Room
from turnlog_ingest.waiting_writes import Waiting

ROOM = Room(events_max=1_000, bytes_max=2**20, enough_events=100, express_events=10)


@pytest.fixture(autouse=True)
async def loop() -> asyncio.AbstractEventLoop:
    """Futures want one."""
    return asyncio.get_running_loop()


def waiting(tenant: str, events: int = 1, key: str | None = None, deadline: float = 100.0) -> Waiting:
    turns = [turn(tenant, "s", key=key) for _ in range(events)]
    return Waiting(request(*turns), deadline, asyncio.get_running_loop().create_future(), None)


def never(_: Waiting) -> bool:
    return False


def names(batch: Sequence[Waiting]) -> str:
    return "".join(w.request.events[0].tenant for w in batch)


async def test_a_request_of_a_quiet_tenant_is_in_the_next_batch_however_much_another_has_queued() -> None:
    queue = FairQueue(20_000)
    for _ in range(50):
        queue.push(waiting("n", 100), 0.0)
    queue.take(ROOM, never)
    queue.push(waiting("q"), 0.1)
    queue.push(waiting("r"), 0.1)
    assert sorted(names(queue.take(ROOM, never))) == ["q", "r"]
    assert names(queue.take(ROOM, never)) == "n"


async def test_those_that_go_first_do_not_keep_large_requests_waiting() -> None:
    queue = FairQueue(20_000)
    for _ in range(20):
        queue.push(waiting("n", 100), 0.0)
    queue.take(ROOM, never)
    large = 0
    for number in range(20):
        queue.push(waiting(f"tenant-{number}"), 0.0)
        large += "n" in names(queue.take(ROOM, never)).replace("tenant", "")
    assert large >= 9


async def test_small_requests_that_come_all_the_time_do_not_keep_large_ones_waiting() -> None:
    queue = FairQueue(20_000)
    for _ in range(5):
        queue.push(waiting("n", 1_000), 0.0)
    large = 0
    for _ in range(30):
        for _ in range(60):
            queue.push(waiting("q"), 0.0)
        large += names(queue.take(ROOM, never)).count("n")
    assert large >= 1


async def test_two_that_flood_get_the_same() -> None:
    queue = FairQueue(20_000)
    for _ in range(60):
        queue.push(waiting("a", 100), 0.0)
        queue.push(waiting("b", 20), 0.0)
        queue.push(waiting("b", 20), 0.0)
    events = {"a": 0, "b": 0}
    for _ in range(20):
        for taken in queue.take(ROOM, never):
            events[taken.request.events[0].tenant] += len(taken.request.events)
    assert events["a"] == pytest.approx(events["b"], rel=0.2)


async def test_one_tenant_cannot_fill_the_queue_and_two_leave_room_for_a_third() -> None:
    queue = FairQueue(900)
    for tenant in "ab":
        while queue.has_room(tenant, 10):
            queue.push(waiting(tenant, 10), 0.0)
    assert queue.events <= 800
    assert queue.has_room("c", 50)
    assert not queue.has_room("c", 150)


async def test_it_counts_as_shared_only_while_several_tenants_write() -> None:
    queue = FairQueue(900)
    queue.push(waiting("a"), 1.0)
    queue.push(waiting("a"), 1.1)
    assert not queue.shared(1.2)
    queue.push(waiting("b"), 1.3)
    assert queue.shared(1.4)
    assert not queue.shared(1.31 + SHARED_S)


async def test_late_requests_leave_every_line_and_the_count() -> None:
    queue = FairQueue(900)
    for tenant, deadline in (("a", 1.0), ("b", 5.0), ("a", 5.0), ("c", 1.0)):
        queue.push(waiting(tenant, 2, deadline=deadline), 0.0)
    assert queue.next_deadline() == 1.0
    assert sorted(names(queue.take_late(1.0))) == ["a", "c"]
    assert (len(queue), queue.events, queue.next_deadline()) == (2, 4, 5.0)
    assert sorted(names(queue.take(ROOM, never))) == ["a", "b"]


Push = tuple[str, int, str | None]
PUSHES = st.lists(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.sampled_from([None, None, "k", "l"])), max_size=8
    ),
    max_size=12,
)


@given(PUSHES)
@settings(max_examples=200, deadline=None)
def test_everything_leaves_once_in_its_tenants_order_but_for_keys_that_meet(rounds: list[list[Push]]) -> None:
    asyncio.run(_whatever(rounds))


async def _whatever(rounds: list[list[Push]]) -> None:
    queue = FairQueue(100_000)
    room = Room(50, 2**20, 25, 5)
    pushed: dict[str, list[Waiting]] = {"a": [], "b": [], "c": []}
    left: dict[str, list[Waiting]] = {"a": [], "b": [], "c": []}

    def take() -> None:
        batch = queue.take(room, never)
        keys = [(e.tenant, e.key) for w in batch for e in w.request.events]
        assert len(keys) == len(set(keys))
        assert len(keys) <= 50
        for one in batch:
            left[one.request.events[0].tenant].append(one)

    for pushes in rounds:
        for tenant, events, key in pushes:
            one = waiting(tenant, 1 if key else events, key)
            pushed[tenant].append(one)
            queue.push(one, 0.0)
        take()
    for _ in range(1_000):
        if not len(queue):
            break
        take()
    assert queue.events == 0
    for tenant, sent in pushed.items():
        assert sorted(map(id, left[tenant])) == sorted(map(id, sent))
        for key in ("k", "l"):  # turns of one id are stored in their order, whatever may pass them
            order = [w for w in sent if w.request.events[0].key == key]
            assert [w for w in left[tenant] if w.request.events[0].key == key] == order
        fresh = [w for w in sent if w.request.events[0].key not in ("k", "l")]
        assert [w for w in left[tenant] if w in fresh] == fresh
