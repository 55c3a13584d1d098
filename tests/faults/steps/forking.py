"""The fork server: has everything imported, no event loop and no threads, and forks a process per job.

`python -m faults.steps.forking` reads jobs from its standard input and writes what became of each to its standard
output, both as lines of JSON. A job costs a fork instead of the second that the imports take.
"""

import asyncio
import gc
import json
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import structlog

from faults.steps.ground import Addresses, Ground
from faults.steps.killer import Killer
from faults.steps.scenario import scenario
from turnlog_events.tokens import load

Job = dict[str, Any]
LIMIT_S = 40.0
"""A process that takes longer hangs."""
TRACE_CHARS = 2500


def serve() -> None:
    """Run jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever prints must not be taken for an answer
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    load()
    answers.write('{"ready": true}\n')
    for line in sys.stdin.buffer:
        job = json.loads(line)
        failed = _imported(job["scenario"])
        answer = {"how": "died", "facts": [["failed", failed]]} if failed else _in_a_process(job)
        answers.write(json.dumps(answer) + "\n")


@cache
def _imported(name: str) -> str:
    """Import a scenario and all it needs, for all processes to come; why it cannot be done, if so."""
    try:
        scenario(name)
    except Exception:  # whatever is wrong there is that scenario's finding
        return traceback.format_exc()[-TRACE_CHARS:]
    gc.collect()
    gc.freeze()
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would lose them"
    return ""


def _in_a_process(job: Job) -> dict[str, Any]:
    """Fork, do the job there, and tell its facts and how it ended: `killed`, `ended`, `hung` or `died`."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _child(job, write_end)
    os.close(write_end)
    facts, hung = _listen(pid, read_end)
    os.close(read_end)
    _, status = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    how = "hung" if hung else "killed" if killed else "ended" if status == 0 else "died"
    return {"how": how, "facts": facts}


def _listen(pid: int, read_end: int) -> tuple[list[Any], bool]:
    """All that the process tells until it ends (not until the pipe ends: its own children might hold that)."""
    deadline, data, hung, over = time.monotonic() + LIMIT_S, b"", False, False
    process = os.pidfd_open(pid)
    os.set_blocking(read_end, False)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(read_end, select.POLLIN)
    while not over:
        over = process in {descriptor for descriptor, _ in poll.poll(1000)}
        data += _available(read_end)
        if not over and not hung and time.monotonic() > deadline:
            hung = True
            os.kill(pid, signal.SIGKILL)
    os.close(process)
    return [json.loads(line) for line in data.splitlines()], hung


def _available(descriptor: int) -> bytes:
    data = b""
    try:
        while more := os.read(descriptor, 1 << 16):
            data += more
    except BlockingIOError:
        pass
    return data


def _child(job: Job, write_end: int) -> None:
    """Never returns."""

    def tell(kind: str, fact: Any) -> None:
        os.write(write_end, json.dumps([kind, fact]).encode() + b"\n")

    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        asyncio.run(_restart(job, tell) if job["do"] == "restart" else _crash(job, tell))
        status = 0
    except BaseException:
        tell("failed", traceback.format_exc()[-TRACE_CHARS:])
    finally:
        os._exit(status)


async def _crash(job: Job, tell: Callable[[str, Any], None]) -> None:
    """Prepare (`again`: nothing, an earlier process did), then do the operation with the killer armed; the places are
    told when it was not to kill."""
    ground, play = _ground(job, tell), scenario(job["scenario"])
    if job["do"] != "again":
        await ground.make_log()
        await play.prepare(ground)
    killer = Killer(job["kill_at"], lambda place: tell("place", place), job.get("kill_line"))
    loop = asyncio.get_running_loop()
    killer.install(loop)
    await loop.create_task(play.operate(ground))
    loop.set_task_factory(None)
    tell("points", killer.reached)
    if killer.places:
        tell("places", killer.places)


async def _restart(job: Job, tell: Callable[[str, Any], None]) -> None:
    """Check what the crash left, do the operation again to its end, check that."""
    ground, play = _ground(job, tell), scenario(job["scenario"])
    tell("wrong", [f"after the crash: {what}" for what in await play.after_crash(ground)])
    await play.operate(ground)
    tell("wrong", [f"at the end: {what}" for what in await play.at_end(ground)])


def _ground(job: Job, tell: Callable[[str, Any], None]) -> Ground:
    return Ground(Addresses(**job["addresses"]), job["log"], tell, job.get("answers", {}))


if __name__ == "__main__":
    serve()
