"""`turnlog demo`: the main job on real servers in a temporary folder, shown as a person wants to see it.

Store half of a conversation, kill the projector, store the rest, watch it recover; show recent turns, summary and
context; rebuild the read models, verify everything, and print the rates reached on the way.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from turnlog_cli.demo_input import Conversation, read_conversation
from turnlog_cli.demo_rates import Rate, measure
from turnlog_cli.demo_show import Show
from turnlog_cli.errors import CommandError
from turnlog_cli.rebuilding import run_rebuild
from turnlog_cli.screen import Screen, count
from turnlog_cli.stack import Plan, Stack, running
from turnlog_cli.verifying import run_verify
from turnlog_client import AsyncClient
from turnlog_runtime.settings import READ_ELSEWHERE, SharedSettings, load

RECOVERY_S = 30.0
CONTEXT_TOKENS = 1_600
SUMMARY_TOKENS = 300
URLS = ("DATABASE_URL", "NATS_URL", "REDIS_URL", "SECRET_KEY")
FORGOTTEN = frozenset({*URLS, *(f"{name}_FILE" for name in URLS), "TURNLOG_URL"})


def demo(file: Path | None, screen: Screen) -> None:
    """Run the demo. Raises `CommandError` when something is not as promised."""
    conversation = read_conversation(file)
    forget_settings(os.environ)
    settings = load(SharedSettings)
    began = time.monotonic()
    with _temporary_folder() as folder:
        asyncio.run(_demo(conversation, Plan(folder, settings, port=0), Show(screen)))
    screen.say(f"done in {time.monotonic() - began:.0f} s; everything was stopped and removed", "dim")


def forget_settings(environment: "os._Environ[str] | dict[str, str]") -> None:
    """Drop what is set for another Turnlog: the demo must never write into somebody's servers."""
    for name in list(environment):
        ours = name.upper().startswith("TURNLOG_") and name.upper() not in READ_ELSEWHERE
        if ours or name.upper() in FORGOTTEN:
            del environment[name]


async def _demo(conversation: Conversation, plan: Plan, show: Show) -> None:
    me = asyncio.current_task()
    assert me is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel)
    began = time.monotonic()
    show.title(conversation.name)
    async with AsyncExitStack() as cleanup:
        stack = await cleanup.enter_async_context(running(plan, show.tell))
        key = stack.addresses.api_key or None
        client = await cleanup.enter_async_context(AsyncClient(stack.addresses.url, api_key=key))
        show.done(f"PostgreSQL, NATS, Valkey and four processes are up at {client.url}", time.monotonic() - began)
        rates = await _store_and_recover(conversation, stack, client, show)
        await _read(conversation.session, client, show)
        rates += await measure(client, key)
        await _settled(client, "demo-single-0")
        rates += await _check(stack, plan.settings, show)
        show.rates(rates)


async def _store_and_recover(conversation: Conversation, stack: Stack, client: AsyncClient, show: Show) -> list[Rate]:
    show.heading("Store, and lose a process on the way")
    first, second = conversation.halves()
    await _load(client, first, show)
    await _settled(client, conversation.session)
    show.done("recent turns and summaries in Redis are up to date")
    projector = stack.workers["projector"]
    starts, killed_pid = projector.starts, projector.pid
    projector.kill()
    show.note(f"kill -9 {killed_pid}: the projector, which keeps Redis up to date, is gone")
    await _load(client, second, show)
    began = time.monotonic()
    head = await client.session(conversation.session)
    behind = head["read_model"]["version"] or 0
    show.note(f"writes went on; Redis is at turn {behind} of {head['read_model']['stored_version']}")
    turns = await client.turns(
        conversation.session, limit=1, min_version=head["read_model"]["stored_version"], wait_ms=0
    )
    show.done(f"who asks for turn {turns['version']} gets it all the same, from {_source(turns['source'])}")
    await _settled(client, conversation.session)
    if projector.starts == starts:
        raise CommandError("the projector was not started again")
    seconds = time.monotonic() - began
    show.done("the projector was started again, went on from its checkpoint, and nothing is missing", seconds)
    return [Rate("recovery of a killed projector", seconds, "s")]


async def _load(client: AsyncClient, lines: Sequence[bytes], show: Show) -> None:
    began, stored = time.monotonic(), 0
    async for result in client.load(lines):
        if result.status == "refused":
            raise CommandError(f"line {result.line} was refused: {result.message} ({result.code})", 1)
        stored += result.status == "stored"
    show.done(f"{count(stored, 'turn')} stored, each on PostgreSQL's disk", time.monotonic() - began)


async def _settled(client: AsyncClient, session: str) -> None:
    """Wait until the read model of a session has every turn."""
    deadline = time.monotonic() + RECOVERY_S
    while True:
        read_model = (await client.session(session))["read_model"]
        if read_model["version"] == read_model["stored_version"]:
            return
        if time.monotonic() > deadline:
            raise CommandError(f"the read models did not catch up within {RECOVERY_S:g} s; see logs/projector.log")
        await asyncio.sleep(0.02)


async def _covered(client: AsyncClient, session: str, version: int) -> None:
    """Wait until the summary that is read covers a version: it was stored, and reaches the read model next."""
    deadline = time.monotonic() + RECOVERY_S
    while (await client.session(session))["covered_to"] < version:
        if time.monotonic() > deadline:
            raise CommandError(f"the summary up to turn {version} was stored, but is not read after {RECOVERY_S:g} s")
        await asyncio.sleep(0.02)


async def _read(session: str, client: AsyncClient, show: Show) -> None:
    show.turns(session, await client.turns(session, limit=8))
    show.context(await client.context(session, max_tokens=CONTEXT_TOKENS, format="text"))
    began = time.monotonic()
    task = await client.compress(session, wait=True)
    seconds = time.monotonic() - began
    await _covered(client, session, (task["summary"] or {}).get("to_version", 0))
    show.summary(await client.summary(session, max_tokens=SUMMARY_TOKENS), task["state"], seconds)


async def _check(stack: Stack, settings: SharedSettings, show: Show) -> list[Rate]:
    show.heading("Rebuild and verify")
    report = await run_rebuild(stack.addresses, settings, "main")
    if report.comparison is None or not report.comparison.identical:
        raise CommandError("the rebuilt read models differ from the live ones", 1)
    sessions = count(report.comparison.sessions, "session")
    show.done(f"read models rebuilt from {count(report.position, 'event')}: {sessions} byte for byte", report.seconds)
    verified = await run_verify(stack.addresses, settings, "main")
    if not verified.ok:
        first = verified.differences[0]
        raise CommandError(f"verify found {verified.differing} differences; first: {first.where}: {first.what}", 1)
    show.done("every hash, the chain and every read model are as the log says", verified.seconds)
    return [Rate("rebuild, compared", report.events_per_s, "events/s")]


def _source(name: str) -> str:
    return {"postgres": "PostgreSQL", "redis": "Redis"}.get(name, name)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="turnlog-demo-"))
    try:
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
