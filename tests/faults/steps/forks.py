"""The walk's side of a fork server: start it, give it jobs, end it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[2]
_LINE_BYTES = 1 << 24


@dataclass(slots=True)
class Outcome:
    """How a forked process ended, and what it told."""

    how: str
    points: int = 0
    place: str = ""
    places: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    result: Any = None
    failed: str = ""


class ForkServer:
    """One fork server; one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ready(self) -> None:
        """Wait until it takes jobs; once, before the first."""
        await self._line()

    async def run(self, job: dict[str, Any]) -> Outcome:
        """Do a job in a process of its own."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        answer = await self._line()
        outcome = Outcome(answer["how"])
        for kind, fact in answer["facts"]:
            if kind == "answer":
                outcome.answers[fact[0]] = fact[1]
            elif kind == "wrong":
                outcome.wrong += fact
            else:
                setattr(outcome, kind, fact)
        return outcome

    async def _line(self) -> dict[str, Any]:
        """The server's next line."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fork server ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def fork_server() -> AsyncIterator[ForkServer]:
    """A fork server on its way; it ends when its input does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TURNLOG_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = (sys.executable, "-m", "faults.steps.forking")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES
    )
    try:
        yield ForkServer(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
