"""One child process of ours: started, waited for, stopped.

In goes an `Order`; out comes a `Child` with a pid and a future that ends with the process. Each child has a
thread that starts it and then waits for it. The thread is not only convenience: Linux sends the death signal
when the *thread* that started a process ends, so a server started by a short-lived thread would die with it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from turnlog_embedded.account import Account, way_is_closed
from turnlog_embedded.lifeline import Lifeline

LAUNCH = Path(__file__).with_name("launch.py")
# What servers get of our environment: no PG* settings, and none of our secrets.
ENVIRONMENT_KEPT = (
    "PATH",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
)
HARD_STOP_S = 5.0


@dataclass(frozen=True)
class Order:
    """What to run: `argv` (executable first), where, as whom, and the signals that stop it."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    account: Account | None = None
    stdin: Path | None = None
    stop_signal: int = signal.SIGTERM
    hard_signal: int = signal.SIGKILL
    death_signal: int = signal.SIGTERM


class Child:
    """A running (or ended) child process."""

    def __init__(self, order: Order, process: "subprocess.Popen[bytes]", exited: "Future[int]") -> None:
        self.order = order
        self.pid = process.pid
        self.exited = exited
        self.stopping = False  # told to stop: its end is not a surprise

    @property
    def running(self) -> bool:
        """Whether its end has not been seen yet."""
        return not self.exited.done()

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end, at most `timeout_s` seconds; whether it has ended."""
        ended = asyncio.wrap_future(self.exited)
        try:
            await asyncio.wait({ended}, timeout=timeout_s)
        finally:
            ended.cancel()  # its callback must not outlive the loop; `exited` itself stays as it is
        return self.exited.done()

    async def stop(self, deadline_s: float) -> bool:
        """Stop it: politely, at the deadline hard, then by SIGKILL. Whether the polite way was enough."""
        self.stopping = True
        self.signal(self.order.stop_signal)
        if await self.wait(deadline_s):
            return True
        for number in (self.order.hard_signal, signal.SIGKILL):
            self.signal(number)
            if await self.wait(HARD_STOP_S):
                break
        return False


def spawn(order: Order, *, lock_fd: int, lifeline: Lifeline | None) -> Child:
    """Start a process that holds `lock_fd` open for as long as it (or a child of it) lives.

    In a session of its own, so that Ctrl-C in the terminal reaches only us. Takes a few milliseconds; raises
    OSError when it cannot be started.
    """
    started: Future[subprocess.Popen[bytes]] = Future()
    exited: Future[int] = Future()
    exited.set_running_or_notify_cancel()  # a waiter that is cancelled must not cancel the truth
    threading.Thread(
        target=_start_and_wait,
        args=(order, lock_fd, lifeline, started, exited),
        name=f"embedded-{order.name}",
        daemon=True,
    ).start()
    return Child(order, started.result(), exited)


def _start_and_wait(
    order: Order,
    lock_fd: int,
    lifeline: Lifeline | None,
    started: "Future[subprocess.Popen[bytes]]",
    exited: "Future[int]",
) -> None:
    try:
        process = _popen(order, lock_fd, lifeline)
    except Exception as error:  # handed to the caller of spawn, who raises it
        started.set_exception(error)
        return
    started.set_result(process)
    code = process.wait()
    if lifeline is not None:
        with contextlib.suppress(OSError):
            lifeline.drop(process.pid)
    exited.set_result(code)


def _popen(order: Order, lock_fd: int, lifeline: Lifeline | None) -> "subprocess.Popen[bytes]":
    account, watch_fd = order.account, lifeline.fd if lifeline else -1
    places = (order.cwd, Path(order.argv[0]))
    bypass = account is not None and any(way_is_closed(account, place) for place in places)
    who = (account.uid, account.gid) if account else (-1, -1)
    words = (os.getpid(), int(order.death_signal), *who, int(bypass), watch_fd)
    environment = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
    log_fd = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    stdin_fd = os.open(order.stdin or os.devnull, os.O_RDONLY)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), *map(str, words), *order.argv],
            stdin=stdin_fd,
            stdout=log_fd,
            stderr=log_fd,
            cwd=order.cwd,
            env={**environment, "LC_ALL": "C", "HOME": str(order.cwd)},
            pass_fds=(lock_fd, watch_fd) if lifeline else (lock_fd,),
            start_new_session=True,
        )
    finally:
        os.close(log_fd)
        os.close(stdin_fd)
