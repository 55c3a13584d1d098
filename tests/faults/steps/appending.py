"""Appends through the write API's own objects: several sessions at once, requests of many turns, a repeat, members,
an expected version, a conflict, a retraction, a compression request."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from faults.steps.ground import Ground
from faults.steps.judging import answer_faults, events_of, log_faults, request_faults
from turnlog_bus import Bus
from turnlog_eventstore import Store
from turnlog_ingest.log_writers import LogWriters
from turnlog_ingest.writes import WriteHeaders, Writes
from turnlog_runtime.problems import Problem
from turnlog_runtime.settings import IngestSettings

_MANY = [{"role": "user", "content": f"part {n}", "agent_id": f"agent{n % 2}", "user_id": "ana"} for n in range(5)]
REQUESTS: dict[str, list[str]] = {
    "one": ["one"],
    "three": ["three#1", "three#2", "three#3"],
    "five": [f"five#{n}" for n in range(1, 6)],
    "other": ["other"],
    "memory": ["memory"],
    "expecting": ["expecting"],
    "retraction": ["retract/retraction"],
    "task": ["task/task/requested"],
}
"""Each request and the keys of its events."""
_MEMBERS = {"a": (["ann"], ["u1"]), "b": (["agent0", "agent1"], ["ana"])}


class Appending:
    """See the module."""

    async def prepare(self, ground: Ground) -> None:
        """An empty log."""

    async def operate(self, ground: Ground) -> None:
        """All requests, the first ones at once; a client that sends again sends the same."""
        async with ground.store() as store, ground.bus() as bus, _writing(store, bus, ground.log) as writes:
            sender = _Sender(ground, writes)
            await asyncio.gather(
                sender.turns("one", "a", _turn("My flight is on Friday.", agent_id="ann", user_id="u1")),
                sender.turns("three", "a", {"turns": [_turn(f"part {n}") for n in range(3)]}),
                sender.turns("five", "b", {"turns": _MANY}),
                sender.turns("other", "c", _turn("other")),
                sender.memory("memory"),
                sender.turns("one", "a", _turn("My flight is on Friday.", agent_id="ann", user_id="u1")),
            )
            await asyncio.gather(
                sender.turns("three", "a", {"turns": [_turn(f"part {n}") for n in range(3)]}),
                sender.turns("expecting", "a", _turn("after all these"), if_match='"v4"'),
                sender.retraction("retraction", "b", 2, 3),
                sender.task("task", "a"),
                sender.refused("other", "c", _turn("another body")),
            )

    async def after_crash(self, ground: Ground) -> list[str]:
        """What was acknowledged is there, and no request in part."""
        async with ground.store() as store:
            events = await events_of(store, ground.log)
            wrong = await log_faults(store, ground.log, events)
            wrong += request_faults(events, REQUESTS, all_stored=False)
            return wrong + answer_faults(events, ground.answers)

    async def at_end(self, ground: Ground) -> list[str]:
        """Everything is there once, in its place, and its members are known."""
        async with ground.store() as store:
            events = await events_of(store, ground.log)
            wrong = await log_faults(store, ground.log, events)
            wrong += request_faults(events, REQUESTS, all_stored=True)
            wrong += answer_faults(events, ground.answers)
            for session, (agents, users) in _MEMBERS.items():
                found = await store.members(ground.tenant, session)
                if (sorted(found.agents), sorted(found.users)) != (agents, users):
                    wrong.append(f"members of session {session}: {found}")
            return wrong


@asynccontextmanager
async def _writing(store: Store, bus: Bus, log: str) -> AsyncIterator[Writes]:
    """The write API's objects for this one log; nobody relays it."""
    settings = IngestSettings(log=log)
    writers = LogWriters(store, bus, settings, asyncio.Event())
    writers.open(log)
    try:
        yield Writes(writers, store, settings.deadline_s)
    finally:
        await writers.close()


class _Sender:
    """Sends requests under fixed ids and notes their answers."""

    def __init__(self, ground: Ground, writes: Writes) -> None:
        self._ground, self._writes, self._tenant = ground, writes, ground.tenant

    async def turns(self, name: str, session: str, body: Any, if_match: str | None = None) -> None:
        headers = WriteHeaders(idempotency_key=name, if_match=if_match)
        await self._note(name, self._writes.store_turns(self._tenant, session, orjson.dumps(body), headers))

    async def memory(self, name: str) -> None:
        body = orjson.dumps({"agent_id": "bob", "message": "The harbour is closed."})
        await self._note(name, self._writes.store_memory(self._tenant, body, WriteHeaders(idempotency_key=name)))

    async def retraction(self, name: str, session: str, first: int, last: int) -> None:
        headers = WriteHeaders(idempotency_key=name)
        await self._note(name, self._writes.retract(self._tenant, session, first, last, None, headers))

    async def task(self, name: str, session: str) -> None:
        headers = WriteHeaders(idempotency_key=name)
        await self._note(name, self._writes.request_compression(self._tenant, session, headers))

    async def refused(self, name: str, session: str, body: Any) -> None:
        """The same id with another body."""
        headers = WriteHeaders(idempotency_key=name)
        with pytest.raises(Problem) as refusal:
            await self._writes.store_turns(self._tenant, session, orjson.dumps(body), headers)
        assert refusal.value.code == "turn_id_conflict"

    async def _note(self, name: str, call: Coroutine[Any, Any, bytes]) -> None:
        answer = orjson.loads(await call)
        places = [place["position"] for place in answer.get("turns", [answer])]
        before = self._ground.answers.get(name)
        found = [list(place) for place in zip(REQUESTS[name], places, strict=True)]
        assert before is None or before == found, f"{name} was answered {before}, now {found}"
        self._ground.acknowledge(name, found)


def _turn(content: str, **more: str) -> dict[str, str]:
    return {"role": "user", "content": content, **more}
