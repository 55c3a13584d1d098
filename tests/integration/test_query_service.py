"""The query service whole: settings, read models, bus and background, over HTTP as a process serves it."""

import asyncio

import httpx
from pydantic import SecretStr

from projecting import append, complete, projector_of, running, writing
from querying import fresh, said
from turnlog_bus import Bus
from turnlog_eventstore import Store
from turnlog_query.service import query
from turnlog_runtime.lifecycle import serving
from turnlog_runtime.settings import QuerySettings


async def test_the_service_answers_from_redis_and_ends_at_a_stop(
    store: Store, redis_url: str, nats_url: str, log_name: str
) -> None:
    s = fresh()
    settings = QuerySettings(redis_url=SecretStr(redis_url), log=log_name, summary_max_tokens=77)
    position = await append(store, log_name, [said(s, "hello")])
    stop, bus = asyncio.Event(), Bus(nats_url)
    async with running(projector_of(store, redis_url, log_name)), writing(store, redis_url, log_name) as writer:
        await complete(writer, position)
        async with (
            query(store, bus, settings, stop) as app,
            serving(app, "127.0.0.1", 0, 5.0) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            turns = (await client.get(f"/v1/sessions/{s}/turns")).json()
            summary = (await client.get(f"/v1/sessions/{s}/summary")).json()
            async with client.stream("GET", f"/v1/sessions/{s}/events") as stream:
                lines = stream.aiter_lines()
                while not (await anext(lines)).startswith("data:"):
                    pass
                stop.set()
                assert [line async for line in lines] == [""]
    await bus.close()
    assert (turns["source"], turns["turns"][0]["content"]) == ("redis", "hello")
    assert summary["max_tokens"] == 77


async def test_without_redis_every_read_comes_from_postgres(store: Store, log_name: str) -> None:
    s = fresh()
    await append(store, log_name, [said(s)])
    stop = asyncio.Event()
    async with (
        query(store, None, QuerySettings(redis_url=None, log=log_name), stop) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://turnlog") as client,
    ):
        assert (await client.get(f"/v1/sessions/{s}/turns")).json()["source"] == "postgres"
