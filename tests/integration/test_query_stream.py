"""Live events over HTTP: resumable from any version, without a hole, bounded for slow clients, ended at a
stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from projecting import QUICK, append
from querying import fresh, hubs, made, problem_in, said, summarised, until
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.ids import new_id
from turnlog_events.payloads import TurnsRetracted
from turnlog_eventstore import Store, StoreUnavailable
from turnlog_follow import Follower
from turnlog_query import Hubs, Limits, LiveHub, QueryDeps, background, create_app
from turnlog_query.stream import SessionStream
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.problems import Problem

STEP_S = 10.0


def retracted(session: str, start: int, end: int) -> Any:
    return made(session, ev.TURNS_RETRACTED, f"retract/{new_id()}", TurnsRetracted(start, end).to_json())


@dataclass(frozen=True)
class Got:
    """One server-sent event."""

    name: str
    id: int
    data: dict[str, Any]

    @property
    def short(self) -> tuple[str, int]:
        return self.name, self.id


class Reader:
    """The events of one response, in order; heartbeats are counted."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()
        self.heartbeats = 0

    async def next(self) -> Got | None:
        """The next event; None at the end of the answer."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(STEP_S):
            async for line in self._lines:
                if line.startswith(":"):
                    self.heartbeats += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    return Got(fields["event"], int(fields["id"]), orjson.loads(fields["data"]))
        return None

    async def take(self, count: int) -> list[Got]:
        found = [await self.next() for _ in range(count)]
        return [got for got in found if got is not None]


class Live:
    """A served read API whose background is at work."""

    def __init__(self, deps: QueryDeps, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        self.deps, self.client, self.stop = deps, client, stop

    @asynccontextmanager
    async def events(self, session: str, last_id: int | None = None, **params: int) -> AsyncIterator[Reader]:
        headers = {} if last_id is None else {"last-event-id": str(last_id)}
        path = f"/v1/sessions/{session}/events"
        async with self.client.stream("GET", path, params=params, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            yield Reader(response)


@asynccontextmanager
async def live(store: Any, log: str, limits: Limits = Limits()) -> AsyncIterator[Live]:
    deps = QueryDeps(store, None, hubs(store, limits.stream_waiting_events), log, limits)
    stop = asyncio.Event()
    async with (
        asyncio.TaskGroup() as group,
        httpx.AsyncClient(timeout=STEP_S) as client,
    ):
        group.create_task(background(deps, stop))
        try:
            async with serving(create_app(deps), "127.0.0.1", 0, 5.0) as port:
                client.base_url = f"http://127.0.0.1:{port}"
                yield Live(deps, client, stop)
                stop.set()
        finally:
            stop.set()


async def test_the_past_comes_first_and_then_what_happens(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s, "one"), said(s, "two"), summarised(s, 1, 1)])
    async with live(store, log_name) as api, api.events(s) as reader:
        past = await reader.take(3)
        await append(store, log_name, [said(s, "three"), said(fresh(), "elsewhere"), retracted(s, 2, 2)])
        now = await reader.take(2)
    assert [g.short for g in past] == [("turn", 1), ("turn", 2), ("summarized", 2)]
    assert [g.short for g in now] == [("turn", 3), ("retracted", 3)]
    assert (past[0].data["content"], past[2].data["text"]) == ("one", "Ana: Ana likes tea.")
    assert (now[1].data["from_version"], now[1].data["to_version"]) == (2, 2)


async def test_a_stream_resumes_after_the_last_id(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s), summarised(s, 1, 1), said(s), said(s), retracted(s, 1, 1)])
    async with live(store, log_name) as api:
        async with api.events(s, last_id=2) as reader:
            assert [g.short for g in await reader.take(2)] == [("turn", 3), ("retracted", 3)]
        async with api.events(s, after_version=1) as reader:
            # The summary stands behind turn 1: whoever has turn 1 may not have it.
            assert [g.short for g in await reader.take(2)] == [("summarized", 1), ("turn", 2)]
        async with api.events(s, last_id=2, after_version=0) as reader:
            assert [g.short for g in await reader.take(1)] == [("turn", 3)]


async def test_a_long_past_comes_page_by_page_without_a_hole(store: Store, log_name: str) -> None:
    s = fresh()
    for n in range(1, 11):
        await append(store, log_name, [said(s), said(s), summarised(s, 2 * n - 1, 2 * n)])
    async with live(store, log_name, Limits(page_turns=3)) as api, api.events(s) as reader:
        found = await reader.take(30)
    expected = [g for n in range(1, 11) for g in (("turn", 2 * n - 1), ("turn", 2 * n), ("summarized", 2 * n))]
    assert [g.short for g in found] == expected


async def test_retracted_turns_are_not_sent_again(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s, "one"), said(s, "secret"), said(s, "three"), retracted(s, 2, 2)])
    async with live(store, log_name) as api, api.events(s) as reader:
        assert [g.short for g in await reader.take(3)] == [("turn", 1), ("turn", 3), ("retracted", 3)]


async def test_nothing_is_lost_or_doubled_while_past_and_live_meet(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name, Limits(page_turns=2)) as api:

        async def write() -> None:
            for _ in range(40):
                await append(store, log_name, [said(s)])

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            for start in (0, 1):
                async with api.events(s, after_version=start) as reader:
                    found = await reader.take(41 - start)
                assert [g.id for g in found] == list(range(start + 1, 42))


async def test_an_idle_stream_beats(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name, Limits(stream_heartbeat_s=0.05)) as api, api.events(s) as reader:
        await reader.take(1)
        waiting = asyncio.create_task(reader.next())
        await until(lambda: reader.heartbeats >= 2)
        await append(store, log_name, [said(s)])
        got = await waiting
    assert got is not None
    assert got.short == ("turn", 2)


async def test_streams_end_when_the_process_stops(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name) as api, api.events(s) as reader:
        await reader.take(1)
        api.stop.set()
        assert await reader.next() is None
        refused = await api.client.get(f"/v1/sessions/{s}/events")
        assert problem_in(refused, 503) == ("too_many_streams", None)


async def test_a_client_that_leaves_is_forgotten(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name) as api:
        async with api.events(s) as reader:
            await reader.take(1)
            assert api.deps.hubs.streams == 1
        await until(lambda: api.deps.hubs.streams == 0)


async def test_one_stream_too_many_is_503(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name, Limits(streams_max=1)) as api, api.events(s) as reader:
        await reader.take(1)
        refused = await api.client.get(f"/v1/sessions/{s}/events")
        assert problem_in(refused, 503) == ("too_many_streams", None)
        assert refused.headers["retry-after"] == "1"


async def test_one_tenant_cannot_take_all_streams(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    hub = LiveHub(store, Follower(store, None, log_name, QUICK), log_name)
    deps = QueryDeps(store, None, Hubs(lambda _: hub), log_name, Limits(streams_max=3))
    deps.hubs.of(log_name)
    with hub.subscribe("default", s), hub.subscribe("default", s):
        with pytest.raises(Problem) as full:
            await SessionStream(deps, "default", s, 0).open()
        assert full.value.code == "too_many_streams"
        with pytest.raises(Problem) as absent:  # let in, and so told that it has no such session
            await SessionStream(deps, "another", s, 0).open()
        assert absent.value.code == "session_not_found"
    await SessionStream(deps, "default", s, 0).open()


@pytest.mark.parametrize(
    ("last_id", "status", "code"), [("2", 409, "version_not_reached"), ("x", 422, "invalid_integer")]
)
async def test_a_wrong_last_id_is_refused(store: Store, log_name: str, last_id: str, status: int, code: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    async with live(store, log_name) as api:
        response = await api.client.get(f"/v1/sessions/{s}/events", headers={"last-event-id": last_id})
        assert problem_in(response, status)[0] == code


async def test_a_client_that_cannot_keep_up_is_cut_with_its_last_id(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    hub = LiveHub(store, Follower(store, None, log_name, QUICK), log_name, waiting_events=2)
    deps = QueryDeps(store, None, Hubs(lambda log: hub), log_name)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hub.run(stop))
        chunks = SessionStream(deps, "default", s, 0).chunks()
        sent = [await anext(chunks), await anext(chunks)]
        position = await append(store, log_name, [said(s) for _ in range(5)])
        await until(lambda: hub.position >= position)
        async with asyncio.timeout(STEP_S):
            sent += [chunk async for chunk in chunks]
        stop.set()
    assert b"id: 1\nevent: turn" in sent[1]
    assert [chunk.split(b"\n")[:2] for chunk in sent[2:]] == [
        [b"id: 2", b"event: turn"],
        [b"id: 3", b"event: turn"],
        [b"id: 3", b"event: cut"],
    ]
    assert orjson.loads(sent[-1].split(b"data: ")[1])["last_id"] == 3
    assert hub.streams == 0


async def test_a_client_that_accepts_nothing_is_given_up(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    limits = Limits(stream_send_s=0.05)
    async with live(store, log_name, limits) as api:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body", b"").startswith(b"id:"):
                await asyncio.Event().wait()

        async def receive() -> Any:
            await asyncio.Event().wait()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": f"/v1/sessions/{s}/events",
            "raw_path": b"",
            "query_string": b"",
            "headers": [],
        }
        async with asyncio.timeout(STEP_S):
            await create_app(api.deps)(scope, receive, send)
        assert api.deps.hubs.streams == 0
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_the_hub_comes_back_after_an_outage(store: Store, log_name: str) -> None:
    class Failing:
        def __init__(self, inner: Follower) -> None:
            self._inner, self.failures = inner, 1

        async def batches(self, after: int) -> AsyncIterator[Any]:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("away")
            async for batch in self._inner.batches(after):
                yield batch

    s = fresh()
    await append(store, log_name, [said(s)])
    hub = LiveHub(store, Failing(Follower(store, None, log_name, QUICK)), log_name)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(hub.run(stop))
        with hub.subscribe("default", s) as subscription:
            async with asyncio.timeout(STEP_S):
                await hub.following.wait()
                await append(store, log_name, [said(s)])
                event: Event | None = await subscription.next()
        stop.set()
    assert event is not None
    assert event.version == 2
