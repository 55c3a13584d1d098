"""Waiting until a server answers: by asking it, bounded in time, and no longer than it lives."""

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable

from turnlog_embedded.child import Child

ANSWER_S = 60.0  # from start to the first answer
RECOVERY_S = 900.0  # while it says that it is at work: replaying a log, loading a snapshot
ASK_S = 2.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.005, 0.1


class State(enum.Enum):
    """What a server says of itself."""

    SILENT = "silent"
    WORKING = "working"  # up, recovering or loading
    READY = "ready"


Probe = Callable[[], Awaitable[State]]


async def wait_ready(child: Child, probe: Probe) -> str | None:
    """Ask until the server is ready: None; or what happened instead, as the end of a sentence."""
    began, delay_s = time.monotonic(), FIRST_DELAY_S
    while True:
        state = await _ask(probe)
        if not child.running:
            return f"ended at its start (exit status {child.exited.result()})"
        if state is State.READY:
            return None
        limit_s = RECOVERY_S if state is State.WORKING else ANSWER_S
        if time.monotonic() - began > limit_s:
            return f"was not ready after {limit_s:.0f} s"
        await child.wait(delay_s)
        delay_s = min(delay_s * 1.5, LONGEST_DELAY_S)


async def _ask(probe: Probe) -> State:
    try:
        return await asyncio.wait_for(probe(), ASK_S)
    except (OSError, EOFError, TimeoutError, ValueError):
        return State.SILENT
