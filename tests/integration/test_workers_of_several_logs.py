"""One compressor process and one projector process work on every log they may lead, each log for itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from conftest import RealServers
from making import mark, request, turn
from turnlog_compressor.service import compress, summariser_of
from turnlog_events import event as ev
from turnlog_events.payloads import CompressionRequested
from turnlog_eventstore import Store
from turnlog_projector.__main__ import main as project
from turnlog_runtime.settings import CompressorSettings, ProjectorSettings
from turnlog_views import ViewWriter


@pytest.fixture
async def three_logs(owner_dsn: str) -> list[str]:
    """Three fresh, empty logs."""
    names = [f"t-{uuid.uuid4().hex[:12]}" for _ in range(3)]
    connection = await asyncpg.connect(owner_dsn)
    await connection.executemany("insert into turnlog.logs (log) values ($1)", [(name,) for name in names])
    await connection.close()
    return names


@asynccontextmanager
async def at_work(work: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    """Something that runs until its event is set."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(work(stop))  # type: ignore[arg-type]
        try:
            yield
        finally:
            stop.set()


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.02)


async def talk(store: Store, log: str, tenant: str) -> None:
    """A session with some turns in the log, whose compression is asked for."""
    asked = CompressionRequested(f"task-{tenant}", 12)
    turns = [turn(tenant, "s", f"I told number{n} a story about the harbour and the old ferry.") for n in range(12)]
    await store.append(log, [request(*turns)])
    event = mark(tenant, "s", ev.COMPRESSION_REQUESTED, asked.key, asked.to_json(), correlation_id=asked.task_id)
    await store.append(log, [request(event)])


async def test_a_compressor_works_on_every_log_it_may_lead(store: Store, three_logs: list[str]) -> None:
    tenants = [f"tenant-{log}" for log in three_logs]
    for log, tenant in zip(three_logs, tenants, strict=True):
        await talk(store, log, tenant)
    settings = CompressorSettings(logs=",".join(three_logs[:2]))

    async def summarised(tenant: str) -> bool:
        return any(event.type == ev.SUMMARIZED for event in await store.marks(tenant, "s"))

    async with at_work(lambda stop: compress(store, None, settings, summariser_of(settings), stop)):
        for tenant in tenants[:2]:
            await until(lambda tenant=tenant: summarised(tenant))  # type: ignore[misc]
    assert not await summarised(tenants[2])


async def test_a_projector_works_on_every_log_it_may_lead(
    servers: RealServers, store: Store, three_logs: list[str]
) -> None:
    for log in three_logs:
        await store.append(log, [request(turn(f"tenant-{log}", "s", "hello"))])
    settings = ProjectorSettings(
        database_url=SecretStr(servers.dsn), redis_url=SecretStr(servers.redis_url), logs=",".join(three_logs[:2])
    )

    async def reached(log: str) -> int:
        head, writer = await store.head(log), ViewWriter(servers.redis_url, log)
        try:
            await writer.open(head.incarnation, head.epoch)
            return min(partition.checkpoint for partition in await writer.partitions())
        finally:
            await writer.close()

    async with at_work(lambda stop: project(stop, settings)):
        for log in three_logs[:2]:
            await until(lambda log=log: reached(log))  # type: ignore[misc]
    assert await reached(three_logs[2]) == 0
