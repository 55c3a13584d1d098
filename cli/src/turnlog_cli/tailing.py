"""`turnlog tail`: the events of a log as they come, one a line."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from turnlog_bus import Bus
from turnlog_cli import addresses
from turnlog_cli.event_line import EventLine, line_of
from turnlog_cli.screen import Screen
from turnlog_events.event import Event, rfc3339
from turnlog_events.upcast import payload_of
from turnlog_eventstore import Store, StoreSettings
from turnlog_follow import Follower
from turnlog_runtime.settings import SharedSettings


@dataclass(frozen=True)
class Start:
    """Where to begin: after a position, else with the newest `last` events; and whether to go on when they end."""

    after: int | None
    last: int
    follow: bool


def tail_log(settings: SharedSettings, data_dir: Path, log: str, start: Start, screen: Screen) -> None:
    """Print events until Ctrl-C, or without `follow` up to where the log ends now."""
    asyncio.run(_tail(settings, addresses.servers(settings, data_dir), log, start, screen))


async def _tail(settings: SharedSettings, found: addresses.Addresses, log: str, start: Start, screen: Screen) -> None:
    async with AsyncExitStack() as stack:
        store = await Store.open(found.database_url, StoreSettings(pool_connections=2, role=settings.database_role))
        stack.push_async_callback(store.close)
        bus = Bus(found.nats_url)
        stack.push_async_callback(bus.close)
        head = (await store.head(log)).position
        after = start.after if start.after is not None else max(0, head - start.last)
        if not start.follow and after >= head:
            return
        async for batch in Follower(store, bus, log).batches(after):
            for event in batch.events:
                _print(event, screen)
            if not start.follow and batch.last >= head:
                return


def _print(event: Event, screen: Screen) -> None:
    screen.fact(_fields(event))
    if screen.as_json:
        return
    line = shown(line_of(event))
    if screen.out.is_terminal:  # one line each: what does not fit is cut
        line.truncate(screen.out.width, overflow="ellipsis")
    screen.say(line)


def shown(line: EventLine) -> Text:
    """The line, coloured."""
    return Text.assemble(
        (f"{line.time} ", "dim"),
        (f"{line.position:>6} ", "dim"),
        (f"{line.session} ", "blue"),
        (f"{line.who} ", "bold"),
        (line.text, line.style),
    )


def _fields(event: Event) -> dict[str, object]:
    return {
        "log": event.log,
        "position": event.position,
        "tenant": event.tenant,
        "session_id": event.session_id,
        "version": event.version,
        "type": event.type,
        "key": event.key,
        "recorded_at": rfc3339(event.recorded_at_us),
        "payload": payload_of(event),
    }
