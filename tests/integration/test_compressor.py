"""The compressor on a real log: follows, summarises, ends tasks, survives kills, stand-by and a model that fails."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY

from making import mark, request, turn
from turnlog_compressor.attempts import Attempts, AttemptSettings
from turnlog_compressor.breaker import BreakerSettings
from turnlog_compressor.budget import BudgetSettings
from turnlog_compressor.compressor import CONSUMER, Compressor, CompressorLimits
from turnlog_compressor.job import Job, JobSettings
from turnlog_compressor.models import ModelError, Reply
from turnlog_compressor.orders import Order, Task, WatchSettings
from turnlog_compressor.plan import PlanSettings
from turnlog_compressor.policy import PolicySettings, Reason
from turnlog_compressor.prompt import Prompt
from turnlog_compressor.summariser import Summariser
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.fold import SessionState, fold
from turnlog_events.payloads import CompressionRequested, TurnsRetracted
from turnlog_events.upcast import payload_of
from turnlog_eventstore import Store, StoreUnavailable
from turnlog_follow import Follower, FollowSettings

WAIT_S = 30.0
QUICK = FollowSettings(poll_s=0.02, tick_s=0.1)
LIMITS = CompressorLimits(tick_s=0.02, checkpoint_s=0.05, retry_s=0.05, drain_s=5)


def limits(**policy: Any) -> CompressorLimits:
    plan = PlanSettings(replace(PolicySettings(), **policy))
    return replace(LIMITS, job=JobSettings(plan))


class Talk:
    """One session of one tenant in one log."""

    def __init__(self, store: Store, log: str, tenant: str, session_id: str) -> None:
        self.store, self.log, self.tenant, self.session_id = store, log, tenant, session_id
        self.said = 0

    async def say(self, count: int, words: str = "about the harbour and the old ferry") -> None:
        texts = [f"I told number{self.said + n + 1} a story {words}." for n in range(count)]
        self.said += count
        events = [turn(self.tenant, self.session_id, text, name="Ann") for text in texts]
        await self.store.append(self.log, [request(*events)])

    async def ask(self, task_id: str) -> None:
        asked = CompressionRequested(task_id, self.said)
        event = mark(
            self.tenant,
            self.session_id,
            ev.COMPRESSION_REQUESTED,
            asked.key,
            asked.to_json(),
            correlation_id=task_id,
        )
        await self.store.append(self.log, [request(event)])

    async def retract(self, first: int, last: int) -> None:
        body = TurnsRetracted(first, last).to_json()
        event = mark(self.tenant, self.session_id, ev.TURNS_RETRACTED, f"retract/{first}-{last}", body)
        await self.store.append(self.log, [request(event)])

    async def marks(self, kind: str = ev.SUMMARIZED) -> list[Event]:
        return [e for e in await self.store.marks(self.tenant, self.session_id) if e.type == kind]

    async def covered(self) -> int:
        """The v up to which summaries follow each other from 1."""
        nodes = fold(await self.store.marks(self.tenant, self.session_id)).nodes
        reach = 0
        for node in nodes:
            if node.from_version > reach + 1:
                break
            reach = node.to_version
        return reach

    async def state(self) -> SessionState:
        events = await self.store.turns(self.tenant, self.session_id, limit=10_000)
        events += await self.store.marks(self.tenant, self.session_id)
        return fold(sorted(events, key=lambda e: e.position))

    async def end_of(self, task_id: str) -> Event | None:
        events = await self.store.task_events(self.tenant, task_id)
        own = [e for e in events if e.type != ev.COMPRESSION_REQUESTED]
        assert len(own) <= 1
        return own[0] if own else None


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The first true answer of `condition`; fails after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def compressing(
    store: Store, log: str, summariser: Summariser | None = None, bounds: CompressorLimits = LIMITS
) -> AsyncIterator[Compressor]:
    """A compressor at work; it must end by itself when it is stopped."""
    compressor = Compressor(store, Follower(store, None, log, QUICK), summariser or Summariser(), bounds)
    stop = asyncio.Event()
    running = asyncio.create_task(compressor.run(stop))
    try:
        yield compressor
    finally:
        stop.set()
        await asyncio.wait_for(running, WAIT_S)


@pytest.fixture
def talk(store: Store, log_name: str, tenant: str, session_id: str) -> Talk:
    return Talk(store, log_name, tenant, session_id)


async def test_a_session_is_summarised_while_it_grows(talk: Talk) -> None:
    async with compressing(talk.store, talk.log):
        for _ in range(4):
            await talk.say(25)

        async def covered() -> bool:
            return await talk.covered() >= 61

        await until(covered)
    for event in await talk.marks():
        node = payload_of(event)
        assert node["model"] == "extractive-1"
        assert all(node["from_version"] <= line[0] <= node["to_version"] for line in node["lines"])
        assert event.causation_id
    assert talk.said - await talk.covered() >= 10


async def test_a_compression_on_request_covers_everything_and_ends_its_task(talk: Talk) -> None:
    await talk.say(3)
    await talk.ask("one")
    async with compressing(talk.store, talk.log):
        end = await until(lambda: talk.end_of("one"))
        assert end.type == ev.SUMMARIZED
        assert await talk.covered() == 3
        assert await talk.store.task_started(talk.tenant, "one")
        await talk.ask("two")
        assert (await until(lambda: talk.end_of("two"))).type == ev.COMPRESSION_SKIPPED


async def test_silence_makes_a_session_whole(talk: Talk) -> None:
    await talk.say(12)
    async with compressing(talk.store, talk.log, bounds=limits(idle_s=0.1)):

        async def covered() -> bool:
            return await talk.covered() == 12

        await until(covered)


async def test_what_is_retracted_leaves_the_summaries(talk: Talk) -> None:
    await talk.say(50)
    await talk.ask("one")
    async with compressing(talk.store, talk.log):
        await until(lambda: talk.end_of("one"))
        assert b"number7 " in b"".join(n.body for n in (await talk.state()).nodes)
        await talk.retract(7, 7)

        async def again() -> bool:
            return await talk.covered() == 50

        await until(again)
    bodies = b"".join(n.body for n in (await talk.state()).nodes)
    assert b"number7 " not in bodies
    assert b"number8 " in bodies


async def test_the_checkpoint_reaches_the_head_when_nothing_is_pending(talk: Talk) -> None:
    await talk.say(3)
    await talk.ask("one")
    async with compressing(talk.store, talk.log):
        await until(lambda: talk.end_of("one"))
    head = await talk.store.head(talk.log)
    assert await talk.store.checkpoint(talk.log, CONSUMER) >= head.position - 1


async def test_a_replay_of_the_whole_log_stores_nothing_new(talk: Talk, owner_dsn: str) -> None:
    await talk.say(100)
    await talk.ask("one")
    async with compressing(talk.store, talk.log):
        await until(lambda: talk.end_of("one"))
    before = await talk.store.head(talk.log)

    class Forgetful:
        """The store with a lost checkpoint."""

        def __getattr__(self, name: str) -> Any:
            return getattr(talk.store, name)

        async def checkpoint(self, log: str, consumer: str) -> int:
            return 0

    follower = Follower(talk.store, None, talk.log, QUICK)
    compressor = Compressor(Forgetful(), follower, Summariser(), LIMITS)
    stop = asyncio.Event()
    running = asyncio.create_task(compressor.run(stop))

    async def seen_all() -> bool:
        return compressor._last == before.position and compressor._watchlist.idle

    await until(seen_all)
    stop.set()
    await asyncio.wait_for(running, WAIT_S)
    assert (await talk.store.head(talk.log)).position == before.position


async def test_racing_compressors_store_each_summary_once_and_the_task_ends_once(talk: Talk) -> None:
    await talk.say(120)
    await talk.ask("one")
    task = Task("one", talk.said, (await talk.store.task_events(talk.tenant, "one"))[0].event_id, 1)
    order = Order(talk.tenant, talk.session_id, Reason.REQUESTED, talk.said, task, task.event_id, 1, talk.said)
    jobs = [Job(talk.log, talk.store, Summariser(), JobSettings(), order) for _ in range(4)]
    await asyncio.gather(*(job.run() for job in jobs))
    keys = [event.key for event in await talk.marks()]
    assert len(keys) == len(set(keys))
    assert await talk.covered() == 120
    assert await talk.end_of("one") is not None


async def test_a_stand_by_takes_over(talk: Talk) -> None:
    async with compressing(talk.store, talk.log):
        await talk.say(1)
        await talk.ask("one")
        await until(lambda: talk.end_of("one"))
        async with compressing(talk.store, talk.log) as stand_by:
            assert not stand_by._leading
    async with compressing(talk.store, talk.log):
        await talk.say(1)
        await talk.ask("two")
        await until(lambda: talk.end_of("two"))


async def test_a_task_that_cannot_be_done_ends_as_failed_and_the_next_one_is_served(talk: Talk) -> None:
    class Broken(Summariser):
        async def of_turns(self, *_: Any) -> Any:
            raise ZeroDivisionError("secret content")

    await talk.say(3)
    await talk.ask("one")
    async with compressing(talk.store, talk.log, Broken()):
        end = await until(lambda: talk.end_of("one"))
        assert end.type == ev.COMPRESSION_FAILED
        assert payload_of(end)["reason"] == "internal error (ZeroDivisionError)"
        await talk.ask("two")
        await until(lambda: talk.end_of("two"))


async def test_a_store_that_is_away_for_a_while_only_delays(talk: Talk) -> None:
    class Flaky:
        """A store that is away for the first calls of a job."""

        failures = 4

        def __getattr__(self, name: str) -> Any:
            return getattr(talk.store, name)

        async def marks(self, tenant: str, session_id: str) -> list[Event]:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("away")
            return await talk.store.marks(tenant, session_id)

    await talk.say(3)
    await talk.ask("one")
    async with compressing(Flaky(), talk.log):  # type: ignore[arg-type]
        assert (await until(lambda: talk.end_of("one"))).type == ev.SUMMARIZED


async def test_a_storm_of_requests_is_worked_off_within_bounds(talk: Talk) -> None:
    await talk.say(2)
    for number in range(12):
        await talk.ask(f"task-{number}")
    bounds = replace(LIMITS, watch=WatchSettings(due_max=3))
    async with compressing(talk.store, talk.log, bounds=bounds):
        for number in range(12):
            await until(lambda n=number: talk.end_of(f"task-{n}"))  # type: ignore[misc]
    assert len(await talk.marks()) == 1


class Refusing:
    """A model that never answers."""

    provider = "refusing"
    name = "none"

    async def complete(self, prompt: Prompt, *, max_tokens: int, deadline_s: float) -> Reply:
        raise ModelError("server_error")

    async def close(self) -> None:
        return


async def test_a_model_that_fails_never_holds_up_a_summary(talk: Talk) -> None:
    settings = AttemptSettings(attempts=2, backoff_s=0.001, backoff_max_s=0.001)
    attempts = Attempts(Refusing(), settings, BreakerSettings(), BudgetSettings())
    await talk.say(3)
    await talk.ask("one")
    async with compressing(talk.store, talk.log, Summariser(attempts)):
        end = await until(lambda: talk.end_of("one"))
    assert payload_of(end)["model"] == "extractive-1"
    labels = {"provider": "refusing", "kind": "server_error"}
    assert REGISTRY.get_sample_value("llm_errors_total", labels) == 2
    assert REGISTRY.get_sample_value(
        "memory_compression_duration_seconds_count", {"outcome": "fallback", "model": "extractive"}
    )


async def test_the_loop_stays_live_while_long_documents_are_summarised(talk: Talk) -> None:
    await talk.say(12, words="of many words that go on for long, " * 400)
    await talk.ask("one")
    longest = 0.0
    async with compressing(talk.store, talk.log):
        last = time.monotonic()
        while await talk.end_of("one") is None:
            now = time.monotonic()
            longest, last = max(longest, now - last), now
    assert longest < 1.0


@pytest.mark.faults
async def test_a_process_killed_in_the_middle_is_followed_by_one_that_finishes(talk: Talk, dsn: str) -> None:
    """SIGKILL as soon as the first summary stands; the next process ends the task and makes nothing twice."""
    await talk.say(400)
    await talk.ask("one")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TURNLOG_")}
    environment |= {"TURNLOG_DATABASE_URL": dsn, "TURNLOG_LOG": talk.log}
    command = (sys.executable, "-m", "turnlog_compressor")

    async def start() -> asyncio.subprocess.Process:
        quiet = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)

    first = await start()
    await until(talk.marks)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    second = await start()
    try:
        await until(lambda: talk.end_of("one"))
    finally:
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), WAIT_S) == 0
    keys = [event.key for event in await talk.marks()]
    assert len(keys) == len(set(keys))
    assert await talk.covered() == 400
    assert orjson.loads((await talk.marks())[-1].payload)["level"] >= 1
