"""Group commit: one transaction for what gathers, each request its own result, and nobody waits past the deadline."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from making import request, turn
from turnlog_eventstore import (
    Appended,
    AppendRequest,
    OutcomeUnknown,
    Placed,
    StatementFailed,
    Stored,
    StoreUnavailable,
)
from turnlog_ingest.group_commit import GroupCommit, GroupCommitSettings
from turnlog_ingest.waiting_writes import InOrder, QueueFull


class Gate:
    """An appender that holds each batch until told what to do with it."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[tuple[list[AppendRequest], float, asyncio.Future[list[Appended]]]] = asyncio.Queue()

    async def append(self, log: str, requests: list[AppendRequest], deadline_s: float | None = None) -> list[Appended]:
        answer: asyncio.Future[list[Appended]] = asyncio.get_running_loop().create_future()
        assert deadline_s is not None
        await self.batches.put((requests, deadline_s, answer))
        return await answer

    async def take(self) -> tuple[list[AppendRequest], float, "asyncio.Future[list[Appended]]"]:
        return await asyncio.wait_for(self.batches.get(), 5)


def ignore(*_: object) -> None:
    """Nobody listens."""


def stored(requests: list[AppendRequest]) -> list[Appended]:
    return [
        Stored(tuple(Placed(e.key, "main", 1, 1, 0, False, e.event_id, bytes(32)) for e in r.events)) for r in requests
    ]


Start = Callable[..., GroupCommit]


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def start(gate: Gate) -> AsyncIterator[Start]:
    tasks: list[asyncio.Task[None]] = []

    def begin(
        settings: GroupCommitSettings = GroupCommitSettings(), committed: Callable[..., object] = ignore
    ) -> GroupCommit:
        commit = GroupCommit(gate, "main", settings, committed)  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(commit.run()))
        return commit

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_gathers_during_a_commit_becomes_the_next_batch(gate: Gate, start: Start) -> None:
    commits: list[int] = []
    commit = start(committed=lambda *_: commits.append(1))
    first = commit.submit(request(turn("t", "s")))
    batch, _, answer = await gate.take()
    assert len(batch) == 1
    rest = [commit.submit(request(turn("t", "s"))) for _ in range(5)]
    answer.set_result(stored(batch))
    assert isinstance(await first, Stored)
    batch, _, answer = await gate.take()
    assert len(batch) == 5
    answer.set_result(stored(batch))
    assert all(isinstance(result, Stored) for result in await asyncio.gather(*rest))
    assert len(commits) == 2


async def test_a_key_that_stands_twice_waits_for_the_next_batch(gate: Gate, start: Start) -> None:
    commit = start()
    futures = [commit.submit(request(turn("t", "s", key=key))) for key in ("a", "b", "a", "a", "c")]
    sizes = []
    for _ in range(3):
        batch, _, answer = await gate.take()
        sizes.append([r.events[0].key for r in batch])
        answer.set_result(stored(batch))
    await asyncio.gather(*futures)
    assert sizes == [["a", "b", "c"], ["a"], ["a"]]


async def test_a_batch_is_bounded_in_events(gate: Gate, start: Start) -> None:
    commit = start(GroupCommitSettings(batch_events=3))
    futures = [commit.submit(request(turn("t", "s"), turn("t", "s"))) for _ in range(2)]
    futures.append(commit.submit(request(*(turn("t", "s") for _ in range(5)))))
    sizes = []
    for _ in range(3):
        batch, _, answer = await gate.take()
        sizes.append([len(r.events) for r in batch])
        answer.set_result(stored(batch))
    await asyncio.gather(*futures)
    assert sizes == [[2], [2], [5]]


async def test_a_full_queue_refuses_at_once_and_takes_again_when_emptied(gate: Gate, start: Start) -> None:
    commit = start(GroupCommitSettings(queue_events=2))
    futures = [commit.submit(request(turn("t", "s"))) for _ in range(2)]
    with pytest.raises(QueueFull):
        commit.submit(request(turn("t", "s")))
    batch, _, answer = await gate.take()
    futures.append(commit.submit(request(turn("t", "s"))))
    answer.set_result(stored(batch))
    batch, _, answer = await gate.take()
    answer.set_result(stored(batch))
    assert all(isinstance(r, Stored) for r in await asyncio.gather(*futures))


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("?")])
async def test_a_failure_of_the_store_reaches_every_request_of_the_batch(
    gate: Gate, start: Start, error: Exception
) -> None:
    commit = start()
    futures = [commit.submit(request(turn("t", "s"))) for _ in range(3)]
    _, _, answer = await gate.take()
    answer.set_exception(error)
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(r) for r in results] == [type(error)] * 3


async def test_a_defect_in_a_commit_leaves_its_outcome_unknown_and_ends_nothing_that_follows(
    gate: Gate, start: Start
) -> None:
    commit = start()
    first = commit.submit(request(turn("t", "s1")))
    _, _, answer = await gate.take()
    answer.set_exception(RuntimeError("a connection in no known state"))
    with pytest.raises(OutcomeUnknown):
        await first
    second = commit.submit(request(turn("t", "s2")))
    requests, _, answer = await gate.take()
    answer.set_result(stored(requests))
    assert isinstance(await second, Stored)


async def test_when_the_function_raises_requests_are_tried_singly_and_only_the_bad_one_fails(
    gate: Gate, start: Start
) -> None:
    commit = start()
    futures = [commit.submit(request(turn("t", "s", key=key))) for key in ("good", "bad", "fine")]
    _, _, answer = await gate.take()
    answer.set_exception(StatementFailed("raised", "22023"))
    for _ in range(3):
        batch, _, answer = await gate.take()
        if batch[0].events[0].key == "bad":
            answer.set_exception(StatementFailed("raised", "22023"))
        else:
            answer.set_result(stored(batch))
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(r) for r in results] == [Stored, StatementFailed, Stored]


async def test_a_request_that_waited_past_its_deadline_is_refused_as_not_stored(gate: Gate, start: Start) -> None:
    commit = start(GroupCommitSettings(deadline_s=0.2))
    first = commit.submit(request(turn("t", "s")))
    batch, limit_s, answer = await gate.take()
    assert limit_s <= 0.2
    late = commit.submit(request(turn("t", "s")))
    loop = asyncio.get_running_loop()
    passed = asyncio.Event()
    loop.call_later(0.25, passed.set)
    await passed.wait()
    answer.set_result(stored(batch))
    await first
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await asyncio.wait_for(late, 5)


async def test_closing_commits_what_is_queued_and_takes_no_more(gate: Gate) -> None:
    commit = GroupCommit(gate, "main", GroupCommitSettings(), ignore)  # type: ignore[arg-type]
    running = asyncio.create_task(commit.run())
    future = commit.submit(request(turn("t", "s")))
    commit.close()
    with pytest.raises(QueueFull):
        commit.submit(request(turn("t", "s")))
    batch, _, answer = await gate.take()
    answer.set_result(stored(batch))
    assert isinstance(await future, Stored)
    await asyncio.wait_for(running, 5)


async def test_after_a_passing_failure_the_requests_behind_it_are_refused_and_others_are_not(
    gate: Gate, start: Start
) -> None:
    """Otherwise a retry would put the failed one behind what came after it."""
    commit = start(GroupCommitSettings(batch_events=2))
    order = InOrder()
    first = [commit.submit(request(turn("t", "s")), order) for _ in range(2)]
    behind = [commit.submit(request(turn("t", "s")), order) for _ in range(2)]
    other = commit.submit(request(turn("t", "other")))
    _, _, answer = await gate.take()
    answer.set_exception(StoreUnavailable("away"))
    batch, _, answer = await gate.take()
    assert [r.events[0].session_id for r in batch] == ["other"]
    answer.set_result(stored(batch))
    results = await asyncio.gather(*first, *behind, return_exceptions=True)
    assert [type(r) for r in results] == [StoreUnavailable] * 4
    assert isinstance(await other, Stored)


async def test_under_load_a_batch_waits_for_as_many_as_the_last_two_had_but_not_for_ever(
    gate: Gate, start: Start
) -> None:
    commit = start(GroupCommitSettings(gather_s=0.05))
    sizes = []
    for count in (8, 8):
        futures = [commit.submit(request(turn("t", "s"))) for _ in range(count)]
        batch, _, answer = await gate.take()
        sizes.append(len(batch))
        answer.set_result(stored(batch))
        await asyncio.gather(*futures)
    early = [commit.submit(request(turn("t", "s"))) for _ in range(7)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await gate.batches.get()
    early.append(commit.submit(request(turn("t", "s"))))
    batch, _, answer = await gate.take()
    sizes.append(len(batch))
    answer.set_result(stored(batch))
    await asyncio.gather(*early)
    alone = commit.submit(request(turn("t", "s")))
    batch, _, answer = await gate.take()
    answer.set_result(stored(batch))
    await alone
    assert sizes == [8, 8, 8]
    assert len(batch) == 1


async def test_what_is_queued_behind_a_batch_that_hangs_is_refused_at_its_own_deadline(
    gate: Gate, start: Start
) -> None:
    commit = start(GroupCommitSettings(deadline_s=0.3))
    hanging = commit.submit(request(turn("t", "s")))
    await gate.take()
    began = time.monotonic()
    behind = commit.submit(request(turn("t", "s")))
    sooner = commit.submit(request(turn("t", "s")), deadline=began + 0.1)
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await asyncio.wait_for(sooner, 5)
    assert 0.1 <= time.monotonic() - began < 0.25
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await asyncio.wait_for(behind, 5)
    assert 0.3 <= time.monotonic() - began < 0.45
    assert not hanging.done()


async def test_requests_tried_singly_keep_their_deadlines_and_their_place_before_all_others(
    gate: Gate, start: Start
) -> None:
    commit = start(GroupCommitSettings(deadline_s=0.4))
    futures = [commit.submit(request(turn("t", "s", key=key))) for key in ("one", "two", "three")]
    batch, _, answer = await gate.take()
    later = commit.submit(request(turn("t", "s", key="later")))
    answer.set_exception(StatementFailed("raised", "22023"))
    batch, _, answer = await gate.take()
    assert [r.events[0].key for r in batch] == ["one"]
    answer.set_result(stored(batch))
    batch, _, _ = await gate.take()
    assert [r.events[0].key for r in batch] == ["two"]
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await asyncio.wait_for(futures[2], 5)
    with pytest.raises(StoreUnavailable, match="nothing was stored"):
        await asyncio.wait_for(later, 5)
    assert not futures[1].done()


async def test_a_request_with_less_time_than_a_commit_takes_is_refused_and_does_not_hurry_the_others(
    gate: Gate, start: Start
) -> None:
    commit = start(GroupCommitSettings(deadline_s=2.0))
    first = commit.submit(request(turn("t", "s", "a")))
    requests, _, answer = await gate.take()
    await asyncio.sleep(0.3)
    urgent = commit.submit(request(turn("t", "s", "b")), deadline=time.monotonic() + 0.35)
    patient = commit.submit(request(turn("t", "s", "c")))
    answer.set_result(stored(requests))
    await first
    requests, deadline_s, answer = await gate.take()
    answer.set_result(stored(requests))
    assert len(requests) == 1
    assert deadline_s > 1.0
    with pytest.raises(StoreUnavailable):
        await urgent
    await patient
