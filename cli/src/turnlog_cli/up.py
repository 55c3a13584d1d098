"""`turnlog up`: everything on this machine, until Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from rich.text import Text

from turnlog_access.key_format import MintedKey
from turnlog_cli.binding import url_of
from turnlog_cli.keys_at_start import SCOPES
from turnlog_cli.screen import Screen, marked
from turnlog_cli.stack import Plan, Stack, running
from turnlog_events.ids import DEFAULT_TENANT
from turnlog_runtime.door_settings import is_loopback
from turnlog_runtime.settings import ALL_SETTINGS, load

SERVER_NAMES = {"postgres": "PostgreSQL", "nats": "NATS", "valkey": "Valkey"}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(plan: Plan, screen: Screen) -> None:
    """Run until a signal. A second one ends everything at once."""
    for settings in ALL_SETTINGS:  # now, not in each service's log
        load(settings)
    asyncio.run(_up(plan, screen))


async def _up(plan: Plan, screen: Screen) -> None:
    began = time.monotonic()
    story = Story(screen)
    stop, stack = asyncio.Event(), None
    me = asyncio.current_task()
    assert me is not None

    def asked() -> None:
        if stop.is_set():
            if stack is None:
                os._exit(130)  # still starting: the kernel ends what there is with us
            screen.say("killing everything")
            stack.kill()
            return
        screen.say("\nstopping (Ctrl-C again: at once)")
        screen.fact({"event": "stopping"})
        stop.set()
        if stack is None:
            me.cancel()

    _on_signals(asked)
    with contextlib.suppress(asyncio.CancelledError):
        async with running(plan, story.tell) as stack:
            story.ready(plan, stack, time.monotonic() - began)
            await stop.wait()
    screen.say("stopped")
    screen.fact({"event": "stopped"})


def _on_signals(asked: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(number, asked)


class Story:
    """Tells what happens to the system, in words or as JSON lines."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = False

    def tell(self, event: str, **facts: object) -> None:
        """One event of `stack.running` or of the embedded servers."""
        self._screen.fact({"event": event, **facts})
        if (line := told_as(event, facts)) is not None:
            if not self._begun:
                self._screen.say(Text("Turnlog is starting", style="bold"))
            self._begun = True
            self._screen.say(line)

    def ready(self, plan: Plan, stack: Stack, took_s: float) -> None:
        """Where everything is, and what to try."""
        url, folder = stack.addresses.url, plan.data_dir.expanduser().resolve()
        self._screen.fact({"event": "ready", "url": url, "data_dir": str(folder), "pid": stack.addresses.pid})
        logs = "standard error" if plan.verbose else f"{folder}/logs"
        metrics_port = plan.settings.metrics_port
        metrics = f"   metrics: {url_of(plan.settings.host, metrics_port)}/metrics" if metrics_port else " /metrics"
        for label, value in (
            ("API", f"{url}   /openapi.json /readyz{metrics}"),
            ("MCP", f"{url}/mcp"),
            ("data folder", str(folder)),
            ("logs", logs),
        ):
            self._screen.say(f"  {label:<12} {value}")
        where = (
            "on this machine only" if is_loopback(plan.settings.host) else f"on {plan.settings.host}, also for others"
        )
        self._screen.say(Text(f"ready in {took_s:.1f} s; it listens {where}", style="green"))
        self._tell_key(stack.keys.first)
        self._screen.verbatim(_try_it(url, with_key=stack.keys.local is not None, given=stack.keys.first is not None))

    def _tell_key(self, first: MintedKey | None) -> None:
        if first is None:
            return
        self._screen.fact(
            {
                "event": "first_key",
                "id": first.key_id,
                "key": first.credential,
                "tenant": DEFAULT_TENANT,
                "scopes": SCOPES,
            }
        )
        self._screen.say("\nYour first API key. It is shown this once: only its hash is stored.")
        self._screen.verbatim(f"\n  export TURNLOG_API_KEY={first.credential}\n")
        self._screen.say(
            f"It reads and writes the memory of tenant {DEFAULT_TENANT} and reads its log. Lost: turnlog keys create "
            f"makes another. In wrong hands: turnlog keys revoke {first.key_id}"
        )


def told_as(event: str, facts: dict[str, object]) -> str | Text | None:
    """An event in words; None for one that people need not see."""
    name = SERVER_NAMES.get(str(facts.get("server") or facts.get("name")), str(facts.get("name")))
    match event:
        case "server_started":
            return f"  {name:<12} started in {facts['took_ms']} ms (pid {facts['pid']})"
        case "migrated":
            before, after = facts["before"], facts["after"]
            return None if before == after else f"  {'schema':<12} {before or 'empty'} → {after}"
        case "died":
            words = f": {facts['last_words']}" if facts["last_words"] else ""
            end = _end(int(str(facts["status"])))
            again = f"started again in {facts['pause_s']} s"
            return marked("!", "yellow", f"{name} {end}, {again}{words}")
        case "server_died" if "status" not in facts:
            return marked("!", "yellow", f"{name} ended unasked; starting it again")
        case "server_not_started":
            return marked(
                "!", "red", f"{name} cannot be started, next attempt in {facts['pause_s']} s: {facts['reason']}"
            )
        case "server_back":
            return marked("✓", "green", f"{name} is back")
        case "killed":
            return marked("!", "yellow", f"{name} did not end within {facts['after_s']:g} s and was killed")
    return None


def _end(status: int) -> str:
    if status >= 0:
        return f"ended (exit status {status})"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"


def _try_it(url: str, *, with_key: bool, given: bool) -> str:
    turn = '{"role": "user", "content": "My flight is on Friday."}'
    header = ' -H "authorization: Bearer $TURNLOG_API_KEY"' if with_key else ""
    hint = "" if given or not with_key else "  (export TURNLOG_API_KEY=…; turnlog keys create makes a key)\n"
    return (
        f"\n{hint}  curl -s {url}/v1/sessions/hello/turns{header} \\\n"
        f"    -H 'content-type: application/json' -d '{turn}'\n"
        f"  curl -s '{url}/v1/sessions/hello/context?format=text'{header}\n\nCtrl-C stops everything."
    )
