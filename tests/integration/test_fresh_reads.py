"""`fresh` reads: nothing acknowledged is missing, though the read model is behind; and paging past retracted turns."""

from collections.abc import AsyncIterator

import pytest

from projecting import append, reading
from querying import Api, client_of, fresh, hubs, made, postgres_api, redis_api, said
from turnlog_events import event as ev
from turnlog_events.event import NewEvent
from turnlog_events.ids import new_id
from turnlog_events.payloads import TurnsRetracted
from turnlog_eventstore import Store
from turnlog_query import Limits, QueryDeps, create_app
from turnlog_query.frame import Frame


def retracted(session: str, start: int, end: int) -> NewEvent:
    return made(session, ev.TURNS_RETRACTED, f"retract/{new_id()}", TurnsRetracted(start, end).to_json())


@pytest.fixture
def s() -> str:
    return fresh()


@pytest.fixture
async def behind(store: Store, redis_url: str, log_name: str, s: str) -> AsyncIterator[Api]:
    """Read models of three turns whose projector has stopped; since then one turn came and one was retracted."""
    async with redis_api(store, redis_url, log_name) as api:
        await api.add(*(said(s, f"turn {n}") for n in range(1, 4)))
    async with reading(store, redis_url) as views:
        deps = QueryDeps(store, views, hubs(store), log_name, Limits())
        async with client_of(create_app(deps)) as client:
            await append(store, log_name, [said(s, "turn 4"), retracted(s, 1, 1)])
            yield Api(client, deps, store, log_name)


async def test_a_fresh_read_shows_what_the_read_model_does_not_have_yet(behind: Api, s: str) -> None:
    path = f"/v1/sessions/{s}/turns"
    stale = await behind.get(path)
    assert (stale["source"], [t["version"] for t in stale["turns"]]) == ("redis", [1, 2, 3])
    new = await behind.get(path, fresh="true")
    assert (new["source"], [t["version"] for t in new["turns"]]) == ("postgres", [2, 3, 4])
    following = await behind.get(path, fresh="true", after_version=0, limit=2)
    assert [t["version"] for t in following["turns"]] == [2, 3]
    context = await behind.get(f"/v1/sessions/{s}/context", fresh="true")
    assert [message["content"] for message in context["messages"]] == ["turn 2", "turn 3", "turn 4"]
    assert (await behind.get(f"/v1/sessions/{s}/summary", fresh="true"))["version"] == 4
    assert (await behind.get(path, fresh="false"))["source"] == "redis"


async def test_fresh_is_yes_or_no(behind: Api, s: str) -> None:
    assert (await behind.problem(f"/v1/sessions/{s}/turns", 422, fresh="perhaps"))[1] == "fresh"


async def test_a_long_retracted_run_costs_no_pages(store: Store, log_name: str, s: str) -> None:
    """One page of four turns must do, though the run is longer; pops retract one turn each."""
    async with postgres_api(store, log_name, Limits(page_turns=4, pages_max=2)) as api:
        await api.add(*(said(s, str(n)) for n in range(1, 41)))
        await api.add(*(retracted(s, n, n) for n in range(38, 10, -1)), retracted(s, 3, 5))
        path = f"/v1/sessions/{s}/turns"
        newest = await api.get(path, limit=4)
        following = await api.get(path, limit=4, after_version=9)
        assert [t["version"] for t in newest["turns"]] == [9, 10, 39, 40]
        assert [t["version"] for t in following["turns"]] == [10, 39, 40]


@pytest.mark.parametrize(
    ("hidden", "version", "after", "before"),
    [
        ((), 5, 5, 5),
        (((6, 9),), 5, 9, 5),
        (((1, 4),), 5, 5, 1),
        (((10, 12), (6, 9), (1, 3), (4, 4)), 5, 12, 1),
        (((6, 9), (8, 20), (2, 4), (1, 3)), 5, 20, 1),
        (((7, 9), (1, 3)), 5, 5, 5),
    ],
)
def test_runs_of_retracted_versions_are_passed_over(
    hidden: tuple[tuple[int, int], ...], version: int, after: int, before: int
) -> None:
    frame = Frame(30, 1, (), hidden, (), 31, "postgres")
    assert (frame.after_hidden(version), frame.before_hidden(version)) == (after, before)
