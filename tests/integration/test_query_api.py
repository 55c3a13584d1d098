"""The read API over real PostgreSQL and Valkey: what it answers, from which store, and how it says no."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from querying import (
    TENANT,
    Api,
    client_of,
    fresh,
    hubs,
    in_background,
    made,
    postgres_api,
    problem_in,
    redis_api,
    said,
    summarised,
    until,
)
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS, chain_hash, payload_hash
from turnlog_events.ids import agent_session, new_id
from turnlog_events.payloads import CompressionEnded, CompressionRequested, TurnsRetracted
from turnlog_eventstore import Store, StoreUnavailable
from turnlog_query import Limits, QueryDeps, create_app
from turnlog_views import HeadView


def retracted(session: str, start: int, end: int) -> Any:
    return made(session, ev.TURNS_RETRACTED, f"retract/{new_id()}", TurnsRetracted(start, end).to_json())


@pytest.fixture
async def redis(store: Store, redis_url: str, log_name: str) -> AsyncIterator[Api]:
    async with redis_api(store, redis_url, log_name) as api:
        yield api


@pytest.fixture
async def postgres(store: Store, log_name: str) -> AsyncIterator[Api]:
    async with postgres_api(store, log_name) as api:
        yield api


@pytest.fixture(params=["redis", "postgres"])
async def api(request: pytest.FixtureRequest, store: Store, redis_url: str, log_name: str) -> AsyncIterator[Api]:
    """The API with read models, and without."""
    made_of = redis_api(store, redis_url, log_name) if request.param == "redis" else postgres_api(store, log_name)
    async with made_of as found:
        yield found


class Away:
    """A PostgreSQL that does not answer."""

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            raise StoreUnavailable("away")

        return call


# --- turns ----------------------------------------------------------------------------------------------------


async def test_both_stores_give_the_same_bytes(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, f"turn {n} é", agent_id="ann", metadata={"n": n}) for n in range(1, 8)))
    await redis.add(retracted(s, 3, 4), summarised(s, 1, 2))
    path = f"/v1/sessions/{s}/turns"
    from_redis = await redis.client.get(path)
    async with postgres_api(redis.store, redis.log) as other:
        from_postgres = await other.client.get(path)
    assert from_redis.content.endswith(b'"source":"redis"}')
    assert from_redis.content.replace(b'"source":"redis"', b'"source":"postgres"') == from_postgres.content
    assert from_redis.headers["etag"] == from_postgres.headers["etag"] == '"v7.s2"'
    body = from_redis.json()
    assert [t["version"] for t in body["turns"]] == [1, 2, 5, 6, 7]
    assert (body["session_id"], body["version"], body["revision"]) == (s, 7, 2)


async def test_the_short_cut_and_the_documented_route_answer_alike(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, str(n)) for n in range(5)))
    short = await redis.client.get(f"/v1/sessions/{s}/turns?limit=3")
    documented = await redis.client.get(f"/v1/sessions/{s}/turns?limit=3&min_version=1")
    assert short.content == documented.content
    assert {k: v for k, v in short.headers.items() if k != "request-id"} == {
        k: v for k, v in documented.headers.items() if k != "request-id"
    }


async def test_the_newest_turns_come_oldest_first(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, str(n)) for n in range(1, 31)))
    assert [t["version"] for t in (await redis.get(f"/v1/sessions/{s}/turns"))["turns"]] == list(range(11, 31))
    assert [t["content"] for t in (await redis.get(f"/v1/sessions/{s}/turns", limit=2))["turns"]] == ["29", "30"]


async def test_turns_beyond_the_window_come_from_postgres(store: Store, redis_url: str, log_name: str) -> None:
    async with redis_api(store, redis_url, log_name, window_turns=5) as api:
        s = fresh()
        await api.add(*(said(s, str(n)) for n in range(1, 11)))
        within = await api.get(f"/v1/sessions/{s}/turns", limit=5)
        beyond = await api.get(f"/v1/sessions/{s}/turns", limit=6)
    assert (within["source"], len(within["turns"])) == ("redis", 5)
    assert (beyond["source"], [t["version"] for t in beyond["turns"]]) == ("postgres", [5, 6, 7, 8, 9, 10])


async def test_spans_of_turns(api: Api) -> None:
    s = fresh()
    await api.add(*(said(s, str(n), agent_id="ann" if n % 2 else "bob") for n in range(1, 11)), retracted(s, 6, 7))

    async def versions(**params: Any) -> list[int]:
        return [t["version"] for t in (await api.get(f"/v1/sessions/{s}/turns", **params))["turns"]]

    assert await versions(before_version=8, limit=3) == [3, 4, 5]
    assert await versions(after_version=4, limit=3) == [5, 8, 9]
    assert await versions(after_version=10) == []
    assert await versions(after_version=0, limit=2) == [1, 2]
    assert await versions(after_version=4, before_version=9) == [5, 8]
    assert await versions(agent_id="ann", limit=2) == [5, 9]
    assert await versions(agent_id="nobody") == []


async def test_a_limit_is_filled_though_many_turns_are_retracted(store: Store, log_name: str) -> None:
    async with postgres_api(store, log_name, Limits(page_turns=4)) as api:
        s = fresh()
        await api.add(*(said(s, str(n)) for n in range(1, 31)), retracted(s, 8, 29))
        newest = await api.get(f"/v1/sessions/{s}/turns", limit=5)
        following = await api.get(f"/v1/sessions/{s}/turns", after_version=5, limit=3)
    assert [t["version"] for t in newest["turns"]] == [4, 5, 6, 7, 30]
    assert [t["version"] for t in following["turns"]] == [6, 7, 30]


async def test_a_client_that_has_the_answer_gets_304(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s))
    for path in ("", "/turns", "/turns?after_version=0", "/summary", "/context"):
        first = await redis.client.get(f"/v1/sessions/{s}{path}")
        tag = first.headers["etag"]
        again = await redis.client.get(f"/v1/sessions/{s}{path}", headers={"if-none-match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await redis.add(said(s))
    changed = await redis.client.get(f"/v1/sessions/{s}/turns", headers={"if-none-match": '"v1.s0"'})
    assert changed.status_code == 200


async def test_an_agents_own_session_can_be_read_by_its_name(redis: Api) -> None:
    agent = fresh("agent")
    await redis.add(said(agent_session(agent), agent_id=agent))
    assert (await redis.get(f"/v1/sessions/~agent.{agent}/turns"))["session_id"] == f"~agent.{agent}"


# --- min_version ----------------------------------------------------------------------------------------------


class Lagging:
    """Read models of a projector that stands still until `catch_up` is set."""

    def __init__(self, views: Any, version: int) -> None:
        self._views, self._version = views, version
        self.catch_up = asyncio.Event()
        self.looks = 0

    async def head(self, *args: Any) -> HeadView | None:
        self.looks += 1
        head: HeadView | None = await self._views.head(*args)
        if head is None or self.catch_up.is_set():
            return head
        return HeadView(self._version, *[getattr(head, name) for name in HeadView.__slots__[1:]])

    async def turns(self, tenant: str, log: str, session: str, limit: int) -> Any:
        view = await self._views.turns(tenant, log, session, limit)
        if self.catch_up.is_set():
            return view
        return type(view)(self._version, 0, view.turns[: self._version], True, 1)

    @property
    def why(self) -> str:
        return self._views.why

    async def session(self, *args: Any) -> Any:
        return await self._views.session(*args) if self.catch_up.is_set() else None

    def saw(self, log: str, incarnation: str, epoch: str) -> None: ...
    def forget(self, log: str) -> None: ...


async def test_a_read_model_behind_is_waited_for(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s), said(s))
    views = Lagging(redis.deps.views, 1)
    deps = QueryDeps(redis.store, views, redis.deps.hubs, redis.log)
    async with client_of(create_app(deps)) as client:
        old = await client.get(f"/v1/sessions/{s}/turns")
        waiting = asyncio.create_task(client.get(f"/v1/sessions/{s}/turns?min_version=2&wait_ms=10000"))
        await until(lambda: views.looks >= 3)
        views.catch_up.set()
        answer = (await waiting).json()
    assert old.json()["version"] == 1
    assert (answer["version"], answer["source"]) == (2, "redis")


async def test_a_read_model_that_stays_behind_is_passed_over(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s), said(s))
    deps = QueryDeps(redis.store, Lagging(redis.deps.views, 1), redis.deps.hubs, redis.log)
    async with client_of(create_app(deps)) as client:
        answer = (await client.get(f"/v1/sessions/{s}/turns?min_version=2&wait_ms=10")).json()
        context = (await client.get(f"/v1/sessions/{s}/context?min_version=2&wait_ms=10")).json()
    assert (answer["version"], answer["source"]) == (2, "postgres")
    assert context["version"] == 2


async def test_a_version_never_stored_is_409_at_once(api: Api) -> None:
    s = fresh()
    await api.add(said(s))
    for path in ("turns", "context"):
        async with asyncio.timeout(5):
            got = await api.problem(f"/v1/sessions/{s}/{path}", 409, min_version=2, wait_ms=10_000)
        assert got == ("version_not_reached", "min_version")


# --- errors ---------------------------------------------------------------------------------------------------


async def test_an_absent_session_is_404_by_postgres(api: Api) -> None:
    for path in ("", "/turns", "/turns?min_version=1", "/summary", "/context", "/events"):
        assert await api.problem(f"/v1/sessions/{fresh()}{path}", 404) == ("session_not_found", "session_id")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=1000000000", "limit=x", "limit=", "limit=1.5", "limit=²"]
)
async def test_a_wrong_limit_is_422_and_named(postgres: Api, query: str) -> None:
    for path in (f"/v1/sessions/{fresh()}/turns", "/v1/sessions", f"/v1/logs/{postgres.log}/events"):
        response = await postgres.client.get(f"{path}?{query}")
        assert problem_in(response, 422)[1] == "limit"


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("turns?wait_ms=10001", "wait_ms"),
        ("turns?min_version=-1", "min_version"),
        ("turns?before_version=0", "before_version"),
        ("turns?after_version=x", "after_version"),
        ("turns?agent_id=a%20b", "agent_id"),
        ("turns?tenant=other", "tenant"),
        ("turns?limit=5&unknown=1", "unknown"),
        ("summary?max_tokens=15", "max_tokens"),
        ("context?max_tokens=1000001", "max_tokens"),
        ("context?format=xml", "format"),
        ("context?limit=5", "limit"),
        ("events?after_version=-1", "after_version"),
        ("?limit=5", "limit"),
    ],
)
async def test_a_wrong_parameter_is_422_and_named(postgres: Api, path: str, param: str) -> None:
    response = await postgres.client.get(f"/v1/sessions/s/{path}".replace("s/?", "s?"))
    assert problem_in(response, 422)[1] == param


@pytest.mark.parametrize("bad", ["a%20b", "a%00b", "*", "a%2Fb", "%3E", "a%0D%0Ab", "a" * 201, "~agent.", "é", "{}"])
async def test_a_bad_session_id_is_422(postgres: Api, bad: str) -> None:
    for path in ("turns", "turns?min_version=1", "summary", "context", "events"):
        response = await postgres.client.get(f"/v1/sessions/{bad}/{path}")
        assert problem_in(response, 422) == ("invalid_id", "session_id")


async def test_unknown_routes_and_methods_are_problems_too(postgres: Api) -> None:
    assert problem_in(await postgres.client.get("/v1/nothing"), 404) == ("route_not_found", None)
    assert problem_in(await postgres.client.put("/v1/sessions"), 405) == ("method_not_allowed", None)


async def test_with_both_stores_away_a_read_is_503(log_name: str, store: Store) -> None:
    away: Any = Away()
    deps = QueryDeps(away, None, hubs(away), log_name)
    async with client_of(create_app(deps)) as client:
        for path in ("sessions", "sessions/s", "sessions/s/turns", "sessions/s/context", f"logs/{log_name}", "tasks/t"):
            response = await client.get(f"/v1/{path}")
            assert problem_in(response, 503) == ("store_unavailable", None)
            assert response.headers["retry-after"] == "1"


async def test_with_postgres_away_redis_answers_marked_stale(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s), said(s))
    away: Any = Away()
    deps = QueryDeps(away, redis.deps.views, hubs(away), redis.log)
    await deps.watch.look()
    async with client_of(create_app(deps)) as client:
        for path in ("", "/turns", "/turns?min_version=2", "/summary", "/context"):
            response = await client.get(f"/v1/sessions/{s}{path}")
            assert response.status_code == 200, response.text
            assert response.json()["stale"] is True
        absent = await client.get(f"/v1/sessions/{fresh()}/turns")
        assert problem_in(absent, 503) == ("store_unavailable", None)


async def test_with_postgres_away_a_context_is_made_of_what_redis_holds(
    store: Store, redis_url: str, log_name: str
) -> None:
    async with redis_api(store, redis_url, log_name, window_turns=5) as api:
        s = fresh()
        await api.add(*(said(s, f"turn {n}") for n in range(1, 11)))
        away: Any = Away()
        deps = QueryDeps(away, api.deps.views, hubs(away), log_name)
        async with client_of(create_app(deps)) as client:
            context = (await client.get(f"/v1/sessions/{s}/context")).json()
    assert context["turns"] == {"from_version": 6, "to_version": 10}
    assert context["left_out"] == {"from_version": 1, "to_version": 5}
    assert context["stale"] is True


async def test_a_defect_is_a_500_that_says_nothing(log_name: str) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError("the secret cause")

    broken: Any = Broken()
    deps = QueryDeps(broken, None, hubs(broken), log_name)
    async with client_of(create_app(deps)) as client:
        for path in ("turns", "summary"):
            response = await client.get(f"/v1/sessions/s/{path}")
            assert problem_in(response, 500) == ("internal", None)
            assert "secret" not in response.text


# --- head, sessions -------------------------------------------------------------------------------------------


async def test_the_head_is_the_same_from_both_stores(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, f"t {n}", agent_id=f"a{n % 3}", user_id="u") for n in range(1, 8)))
    await redis.add(summarised(s, 1, 3), retracted(s, 6, 6))
    head = await redis.get(f"/v1/sessions/{s}")
    async with postgres_api(redis.store, redis.log, Limits(page_turns=3)) as other:
        stored = await other.get(f"/v1/sessions/{s}")
    assert head["read_model"] == {"version": 7, "position": head["position"], "stored_version": 7}
    assert stored["read_model"] == {"version": None, "position": None, "stored_version": 7}
    assert (head.pop("source"), stored.pop("source")) == ("redis", "postgres")
    del head["read_model"], stored["read_model"]
    assert head == stored
    assert head["agents"] == ["a1", "a2", "a0"]
    assert (head["version"], head["revision"], head["covered_to"]) == (7, 2, 3)
    assert head["retracted"] == [{"from_version": 6, "to_version": 6}]


async def test_the_head_of_a_very_long_session_lacks_what_needs_every_turn(store: Store, log_name: str) -> None:
    async with postgres_api(store, log_name, Limits(head_turns_max=3)) as api:
        s = fresh()
        await api.add(*(said(s) for _ in range(3)))
        await api.add(said(s), summarised(s, 1, 2))
        head = await api.get(f"/v1/sessions/{s}")
    assert (head["version"], head["revision"], head["covered_to"], head["tokens"]) == (4, 1, 2, None)
    assert head["created_at"] < head["last_at"]


async def test_sessions_are_listed_newest_first_page_by_page(postgres: Api) -> None:
    agent, sessions = fresh("agent"), [fresh() for _ in range(5)]
    await postgres.add(*(said(s, agent_id=agent) for s in sessions))
    await postgres.add(said(sessions[0], agent_id=agent))
    seen: list[list[str]] = []
    more: dict[str, Any] = {}
    while True:
        page = await postgres.get("/v1/sessions", agent_id=agent, limit=2, **more)
        seen.append([s["session_id"] for s in page["sessions"]])
        if page["next_cursor"] is None:
            break
        more = {"cursor": page["next_cursor"]}
    newest_first = sessions[::-1]
    assert seen == [newest_first[:2], newest_first[2:4], newest_first[4:]]


async def test_a_foreign_or_garbled_cursor_is_400(postgres: Api) -> None:
    agent = fresh("agent")
    await postgres.add(*(said(fresh(), agent_id=agent) for _ in range(2)))
    cursor = (await postgres.get("/v1/sessions", agent_id=agent, limit=1))["next_cursor"]
    for params in ({"cursor": cursor}, {"cursor": "x", "agent_id": agent}, {"cursor": cursor, "agent_id": "other"}):
        assert await postgres.problem("/v1/sessions", 400, **params) == ("invalid_cursor", "cursor")


# --- summary and context --------------------------------------------------------------------------------------


async def test_a_session_without_summary_has_an_empty_one(api: Api) -> None:
    s = fresh()
    await api.add(said(s))
    summary = await api.get(f"/v1/sessions/{s}/summary")
    assert (summary["text"], summary["covered_to"], summary["nodes"], summary["tokens"]) == ("", 0, [], 0)


async def test_the_summary_names_its_lineage(api: Api) -> None:
    s = fresh()
    await api.add(*(said(s) for _ in range(6)), summarised(s, 1, 2), summarised(s, 3, 4, "Bo likes rain."))
    summary = await api.get(f"/v1/sessions/{s}/summary", max_tokens=100)
    assert summary["text"] == "8 May 2026\nAna: Ana likes tea. Bo likes rain."
    assert (summary["from_version"], summary["to_version"], summary["max_tokens"]) == (1, 4, 100)
    assert summary["turn_versions"] == [2, 4]
    assert [(n["from_version"], n["to_version"], n["model"]) for n in summary["nodes"]] == [
        (1, 2, "extractive"),
        (3, 4, "extractive"),
    ]
    assert summary["token_counter"] == "cl100k_base"


async def test_context_is_summary_and_the_turns_after_it(api: Api) -> None:
    s = fresh()
    await api.add(*(said(s, f"turn {n}", name="Ana B") for n in range(1, 7)), summarised(s, 1, 4))
    context = await api.get(f"/v1/sessions/{s}/context")
    assert context["messages"][1:] == [
        {"role": "user", "content": "turn 5", "name": "Ana_B"},
        {"role": "user", "content": "turn 6", "name": "Ana_B"},
    ]
    assert "Ana likes tea." in context["messages"][0]["content"]
    assert (context["covered_to"], context["turns"], context["left_out"]) == (
        4,
        {"from_version": 5, "to_version": 6},
        None,
    )
    assert context["tokens"] <= context["max_tokens"] == 4000
    assert context["token_counter"] == "cl100k_base"


async def test_context_in_each_format(redis: Api) -> None:
    s = fresh()
    await redis.add(said(s, "hi", name="Ana"), said(s, "hello", "assistant"))
    anthropic = await redis.get(f"/v1/sessions/{s}/context", format="anthropic")
    text = await redis.get(f"/v1/sessions/{s}/context", format="text")
    assert (anthropic["system"], [m["role"] for m in anthropic["messages"]]) == ("", ["user", "assistant"])
    assert text["text"] == "Ana (user): hi\nassistant: hello"


async def test_context_reaches_beyond_the_window(store: Store, redis_url: str, log_name: str) -> None:
    async with redis_api(store, redis_url, log_name, window_turns=5) as api:
        s = fresh()
        await api.add(*(said(s, f"turn {n}") for n in range(1, 121)))
        whole = await api.get(f"/v1/sessions/{s}/context", max_tokens=4000)
        part = await api.get(f"/v1/sessions/{s}/context", max_tokens=64)
    assert whole["turns"] == {"from_version": 1, "to_version": 120}
    assert part["left_out"] == {"from_version": 1, "to_version": part["turns"]["from_version"] - 1}
    assert part["source"] == "redis"


async def test_a_result_brings_its_call_from_before_the_summary(redis: Api) -> None:
    s = fresh()
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    await redis.add(
        said(s, "look it up"),
        said(s, "", "assistant", tool_calls=[call]),
        said(s, "found", "tool", tool_call_id="c"),
        summarised(s, 1, 2),
    )
    context = await redis.get(f"/v1/sessions/{s}/context")
    assert [m["role"] for m in context["messages"]] == ["user", "assistant", "tool"]


async def test_retracted_turns_and_their_summary_are_in_no_answer(redis: Api) -> None:
    s = fresh()
    await redis.add(*(said(s, f"secret {n}") for n in range(1, 5)), summarised(s, 1, 2, "a secret"))
    await redis.add(retracted(s, 1, 4))
    for path in ("turns", "summary", "context", "context?format=text", "turns?after_version=0&limit=9"):
        assert "secret" not in (await redis.client.get(f"/v1/sessions/{s}/{path}")).text
        async with postgres_api(redis.store, redis.log) as other:
            assert "secret" not in (await other.client.get(f"/v1/sessions/{s}/{path}")).text


# --- tasks ----------------------------------------------------------------------------------------------------


async def test_a_task_from_asked_to_done(postgres: Api) -> None:
    s, task = fresh(), new_id()
    asked = CompressionRequested(task, 2)
    await postgres.add(said(s), said(s))
    assert await postgres.problem(f"/v1/tasks/{task}", 404) == ("task_not_found", "task_id")
    await postgres.add(made(s, ev.COMPRESSION_REQUESTED, asked.key, asked.to_json(), correlation_id=task))
    assert (await postgres.get(f"/v1/tasks/{task}"))["state"] == "queued"
    await postgres.store.start_task(TENANT, task)
    assert (await postgres.get(f"/v1/tasks/{task}"))["state"] == "running"
    await postgres.add(summarised(s, 1, 2, task_id=task))
    done = await postgres.get(f"/v1/tasks/{task}")
    assert (done["state"], done["session_id"], done["summary"]["to_version"]) == ("done", s, 2)


async def test_a_task_skipped_says_why(postgres: Api) -> None:
    s, task = fresh(), new_id()
    asked, ended = CompressionRequested(task, 1), CompressionEnded(task, "nothing new")
    await postgres.add(
        said(s),
        made(s, ev.COMPRESSION_REQUESTED, asked.key, asked.to_json(), correlation_id=task),
        made(s, ev.COMPRESSION_SKIPPED, ended.key, ended.to_json(), correlation_id=task),
    )
    found = await postgres.get(f"/v1/tasks/{task}")
    assert (found["state"], found["reason"]) == ("skipped", "nothing new")


# --- audit ----------------------------------------------------------------------------------------------------


async def test_the_history_can_be_proven_by_its_reader(postgres: Api) -> None:
    s = fresh()
    await postgres.add(said(s, "é", metadata={"x": 1.5}), said(s), retracted(s, 1, 1), said(s))
    raw = (await postgres.client.get(f"/v1/logs/{postgres.log}/events")).content
    page, chain = orjson.loads(raw), GENESIS
    for shown in page["events"]:
        payload = orjson.dumps(shown["payload"], option=orjson.OPT_SORT_KEYS)
        assert payload in raw
        assert payload_hash(payload).hex() == shown["payload_sha256"]
        names = [n for n in Event.__slots__ if n not in ("log", "payload", "payload_sha256", "chain_hash")]
        event = Event(
            log=page["log"],
            payload=payload,
            payload_sha256=payload_hash(payload),
            chain_hash=b"",
            **{n: shown[n] for n in names},
        )
        chain = chain_hash(chain, event)
        assert shown["chain_hash"] == chain.hex()
    head = await postgres.get(f"/v1/logs/{postgres.log}")
    assert (head["position"], head["chain_hash"], len(head["incarnation"])) == (4, chain.hex(), 32)
    assert (len(page["events"]), page["next_after"]) == (4, None)


async def test_the_history_is_read_page_by_page(postgres: Api) -> None:
    s = fresh()
    await postgres.add(*(said(s) for _ in range(5)))
    first = await postgres.get(f"/v1/logs/{postgres.log}/events", limit=3)
    second = await postgres.get(f"/v1/logs/{postgres.log}/events", limit=3, after=first["next_after"])
    assert [e["position"] for e in first["events"] + second["events"]] == [1, 2, 3, 4, 5]
    assert second["next_after"] is None


async def test_another_tenants_events_are_gaps(postgres: Api) -> None:
    s = fresh()
    other = made(s, ev.TURN_STORED, new_id(), {"role": "user", "content": "theirs"})
    theirs = type(other)(fresh("tenant"), *[getattr(other, n) for n in type(other).__slots__[1:]])
    await postgres.add(said(s), theirs, said(s))
    page = await postgres.get(f"/v1/logs/{postgres.log}/events")
    assert [e["position"] for e in page["events"]] == [1, 3]
    assert [t["content"] for t in (await postgres.get(f"/v1/sessions/{s}/turns"))["turns"]] == ["hello", "hello"]


async def test_a_log_that_does_not_exist_is_404(postgres: Api) -> None:
    for path in ("", "/events"):
        assert await postgres.problem(f"/v1/logs/absent{path}", 404) == ("log_not_found", "log")
    assert (await postgres.problem("/v1/logs/No*pe", 422))[1] == "log"


# --- tools ----------------------------------------------------------------------------------------------------


async def call(api: Api, name: str, status: int = 200, **body: Any) -> Any:
    response = await api.client.post(f"/tools/{name}", json=body)
    if status != 200:
        return problem_in(response, status)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_tools_read_the_agents_own_session(api: Api) -> None:
    agent = fresh("agent")
    own = agent_session(agent)
    await api.add(*(said(own, f"turn {n}", agent_id=agent) for n in range(1, 6)), summarised(own, 1, 3))
    recent = await call(api, "get_recent_turns", agent_id=agent, limit=2)
    memory = await call(api, "get_compressed_memory", agent_id=agent)
    assert (recent["session_id"], [t["version"] for t in recent["turns"]]) == (own, [4, 5])
    assert (memory["covered_to"], [t["version"] for t in memory["turns"]]) == (3, [4, 5])
    assert memory["summary"] == "8 May 2026\nAna: Ana likes tea."
    assert memory["left_out"] is None


async def test_the_tools_read_a_named_session(redis: Api) -> None:
    agent, s = fresh("agent"), fresh()
    await redis.add(said(s, agent_id=agent))
    assert (await call(redis, "get_recent_turns", agent_id=agent, session_id=s))["version"] == 1
    assert await call(redis, "get_recent_turns", 404, agent_id=agent, session_id=fresh()) == (
        "session_not_found",
        "session_id",
    )
    empty = await call(redis, "get_recent_turns", agent_id=agent)
    assert (empty["turns"], empty["version"]) == ([], 0)
    assert (await call(redis, "get_compressed_memory", agent_id=agent))["summary"] == ""


@pytest.mark.parametrize("name", ["get_recent_turns", "get_compressed_memory"])
async def test_an_agent_seen_in_no_session_is_404(redis: Api, name: str) -> None:
    s = fresh()
    await redis.add(said(s, agent_id="ann"))
    ghost = fresh("ghost")
    assert await call(redis, name, 404, agent_id=ghost) == ("agent_not_found", "agent_id")
    assert await call(redis, name, 404, agent_id=ghost, session_id=s) == ("agent_not_found", "agent_id")


async def test_more_memory_than_the_limit_names_what_is_left_out(store: Store, log_name: str) -> None:
    async with postgres_api(store, log_name, Limits(page_turns=2, memory_turns_max=4)) as api:
        agent = fresh("agent")
        await api.add(*(said(agent_session(agent), agent_id=agent) for _ in range(9)))
        memory = await call(api, "get_compressed_memory", agent_id=agent)
    assert [t["version"] for t in memory["turns"]] == [6, 7, 8, 9]
    assert memory["left_out"] == {"from_version": 1, "to_version": 5}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"agent_id":"a","agent_id":"b"}', 422), (b"\xff\xfe{\x00}\x00", 415), (b"[" * 60_000, 400)],
)
async def test_a_body_that_is_no_plain_json_is_refused(postgres: Api, body: bytes, status: int) -> None:
    problem_in(await postgres.client.post("/tools/get_recent_turns", content=body), status)


async def test_a_body_too_large_is_413(postgres: Api) -> None:
    response = await postgres.client.post("/tools/get_recent_turns", content=b" " * 70_000)
    assert problem_in(response, 413)[0] == "body_too_large"


# --- documentation --------------------------------------------------------------------------------------------


async def test_every_route_is_documented_with_an_example(postgres: Api) -> None:
    document = await postgres.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    found = {(path, method) for path, item in document["paths"].items() for method in item}
    assert found == {
        ("/v1/sessions", "get"),
        ("/v1/sessions/{session_id}", "get"),
        ("/v1/sessions/{session_id}/turns", "get"),
        ("/v1/sessions/{session_id}/summary", "get"),
        ("/v1/sessions/{session_id}/context", "get"),
        ("/v1/sessions/{session_id}/events", "get"),
        ("/v1/tasks/{task_id}", "get"),
        ("/v1/logs/{log}", "get"),
        ("/v1/logs/{log}/events", "get"),
        ("/tools/get_recent_turns", "post"),
        ("/tools/get_compressed_memory", "post"),
    }
    for path, method in found:
        (content,) = document["paths"][path][method]["responses"]["200"]["content"].values()
        assert content["example"], path


async def test_the_examples_have_the_fields_of_real_answers(redis: Api) -> None:
    agent = fresh("agent")
    own, task = agent_session(agent), new_id()
    asked = CompressionRequested(task, 1)
    await redis.add(
        said(own, agent_id=agent),
        summarised(own, 1, 1, task_id=task),
        said(own, agent_id=agent, user_id="u"),
        made(own, ev.COMPRESSION_REQUESTED, asked.key, asked.to_json(), correlation_id=task),
    )
    document = await redis.get("/openapi.json")
    names = {"{session_id}": own, "{log}": redis.log, "{task_id}": task}
    for path, item in document["paths"].items():
        real = path
        for name, value in names.items():
            real = real.replace(name, value)
        if "post" in item:
            answer = await call(redis, path.rsplit("/", 1)[1], agent_id=agent)
        elif not path.endswith("{session_id}/events"):
            answer = await redis.get(real)
        else:
            continue
        (content,) = next(iter(item.values()))["responses"]["200"]["content"].values()
        assert answer.keys() == content["example"].keys(), path


async def test_the_watch_sees_postgres_go_and_come_back(redis: Api) -> None:
    answers: list[Any] = [Away().head, redis.store.head]

    class Flaky:
        async def head(self, log: str) -> Any:
            return await answers[0](log)

    flaky: Any = Flaky()
    deps = QueryDeps(flaky, None, hubs(flaky), redis.log, Limits(watch_s=0.01))
    async with in_background(deps):
        await until(lambda: deps.watch.away)
        answers.pop(0)
        await until(lambda: not deps.watch.away)
