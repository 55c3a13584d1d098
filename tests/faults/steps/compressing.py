"""A compression to its end: a task that somebody asked for, a session that is due by itself, what a retraction changes.

Summaries are extractive, so every run must come to the same ones, whatever crashed on the way.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from faults.steps.ground import Ground
from faults.steps.judging import events_of, log_faults
from making import mark, request, turn
from turnlog_compressor.compressor import CONSUMER, Compressor, CompressorLimits
from turnlog_compressor.job import JobSettings
from turnlog_compressor.plan import PlanSettings
from turnlog_compressor.policy import PolicySettings
from turnlog_compressor.summariser import Summariser
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.fold import fold
from turnlog_events.payloads import CompressionRequested, TurnsRetracted
from turnlog_events.upcast import payload_of
from turnlog_eventstore import Store
from turnlog_follow import Follower, FollowSettings

ASKED, DUE = "asked", "due"
TURNS = {ASKED: 45, DUE: 70}
DUE_COVERS = 31
FOLLOW = FollowSettings(poll_s=0.1, tick_s=0.2)
LIMITS = CompressorLimits(
    job=JobSettings(PlanSettings(replace(PolicySettings(), idle_s=3600.0))),
    tick_s=0.1,
    checkpoint_s=0.1,
    retry_s=0.05,
    drain_s=5,
)


class Compressing:
    """A task and a session that is due."""

    async def prepare(self, ground: Ground) -> None:
        """Two sessions; for one a compression is asked for."""
        async with ground.store() as store:
            for session, count in TURNS.items():
                await _say(store, ground, session, count)
            await _ask(store, ground)

    async def operate(self, ground: Ground) -> None:
        """Compress until the task has ended, the due session is covered and the checkpoint says so; then stop."""
        async with ground.store() as store:
            compressor = Compressor(store, Follower(store, None, ground.log, FOLLOW), Summariser(), LIMITS)
            stop = asyncio.Event()
            running = asyncio.create_task(compressor.run(stop))
            await ground.until(lambda looking: self._done(looking, ground))
            stop.set()
            await running

    async def _done(self, store: Store, ground: Ground) -> bool:
        ended = await _ends(store, ground)
        due = await store.marks(ground.tenant, DUE)
        return bool(ended) and _reach(due) >= DUE_COVERS and await self._more_done(store, ground)

    async def _more_done(self, store: Store, ground: Ground) -> bool:
        return True

    async def after_crash(self, ground: Ground) -> list[str]:
        """The log is whole, nothing is summarised twice, and the checkpoint is not ahead of the work."""
        async with ground.store() as store:
            events = await events_of(store, ground.log)
            wrong = await log_faults(store, ground.log, events) + _summary_faults(events)
            position = await store.checkpoint(ground.log, CONSUMER)
            asked = next(e.position for e in events if e.type == ev.COMPRESSION_REQUESTED)
            if position >= asked and not await _ends(store, ground):
                wrong.append(f"the checkpoint is {position}, the task asked for at {asked} has not ended")
            return wrong

    async def at_end(self, ground: Ground) -> list[str]:
        """Each summary once, the task ended once, everything asked for is covered, and the texts are those that a run
        without a crash makes."""
        async with ground.store() as store:
            events = await events_of(store, ground.log)
            wrong = await log_faults(store, ground.log, events) + _summary_faults(events)
            ends = await _ends(store, ground)
            if len(ends) != 1 or ends[0].type != ev.SUMMARIZED:
                wrong.append(f"the task ended {len(ends)} times: {[e.type for e in ends]}")
            if not await store.task_started(ground.tenant, "task"):
                wrong.append("the task was never started")
            if (reach := _reach([e for e in events if e.session_id == ASKED])) != TURNS[ASKED]:
                wrong.append(f"the task's session is covered up to {reach}")
            ground.tell("result", _texts(events))
            return wrong


class Retracted(Compressing):
    """The same, and turns that were summarised are taken back: the summaries are made anew without them."""

    async def prepare(self, ground: Ground) -> None:
        """As before, compressed; then the retraction."""
        await super().prepare(ground)
        await self.operate_plain(ground)
        async with ground.store() as store:
            body = TurnsRetracted(7, 7).to_json()
            await store.append(ground.log, [request(mark(ground.tenant, ASKED, ev.TURNS_RETRACTED, "retract/7", body))])

    async def operate_plain(self, ground: Ground) -> None:
        """The compression before the retraction."""
        await Compressing().operate(ground)

    async def _more_done(self, store: Store, ground: Ground) -> bool:
        events = await store.marks(ground.tenant, ASKED)
        bodies = b"".join(node.body for node in fold(events).nodes)
        return b"number7 " not in bodies and _reach(events) == TURNS[ASKED]


async def _say(store: Store, ground: Ground, session: str, count: int) -> None:
    texts = [f"I told number{n} a story about the harbour and the old ferry." for n in range(1, count + 1)]
    turns = [turn(ground.tenant, session, text, key=f"t{n}", name="Ann") for n, text in enumerate(texts)]
    await store.append(ground.log, [request(*turns)])


async def _ask(store: Store, ground: Ground) -> None:
    asked = CompressionRequested("task", TURNS[ASKED])
    event = mark(
        ground.tenant, ASKED, ev.COMPRESSION_REQUESTED, asked.key, asked.to_json(), correlation_id=asked.task_id
    )
    await store.append(ground.log, [request(event)])


async def _ends(store: Store, ground: Ground) -> list[Event]:
    return [e for e in await store.task_events(ground.tenant, "task") if e.type != ev.COMPRESSION_REQUESTED]


def _reach(marks: list[Event]) -> int:
    """The version up to which summaries follow each other from 1."""
    reach = 0
    for node in fold([e for e in marks if e.type != ev.TURN_STORED]).nodes:
        if node.from_version > reach + 1:
            break
        reach = node.to_version
    return reach


def _summary_faults(events: list[Event]) -> list[str]:
    """Summaries of the same versions, level and revision, and such that cover other than their lines say."""
    made = [(e.session_id, payload_of(e)) for e in events if e.type == ev.SUMMARIZED]
    names = Counter((s, p["level"], p["from_version"], p["to_version"], p["revision"]) for s, p in made)
    wrong = [f"summary {name} is stored {count} times" for name, count in names.items() if count > 1]
    for session, body in made:
        if not all(body["from_version"] <= line[0] <= body["to_version"] for line in body["lines"]):
            wrong.append(f"a summary of {session} has lines outside its versions")
    return wrong


def _texts(events: list[Event]) -> dict[str, Any]:
    return {f"{e.session_id} {e.key}": payload_of(e)["text"] for e in events if e.type == ev.SUMMARIZED}
