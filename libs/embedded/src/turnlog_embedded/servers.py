"""The running servers of one data folder: start, addresses, restart, stop.

`start` is called by `turnlog up` and by the tests; everything that goes wrong on the way stops what was
started.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from turnlog_embedded import nats, postgres, valkey
from turnlog_embedded.child import Child, Order, spawn
from turnlog_embedded.errors import NotServed, ServerFailed
from turnlog_embedded.folder import Folder, keep_log_small, lay_out
from turnlog_embedded.hold import enter
from turnlog_embedded.lifeline import Lifeline, kernel_ends_orphans
from turnlog_embedded.readiness import wait_ready
from turnlog_embedded.recipe import Recipe
from turnlog_embedded.server_lock import lock_server, note_pid

TOOL_S = 120.0
STOP_S = 15.0
Log = Callable[..., None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class ServerSpec:
    """Which servers to start: those that are not given by URL."""

    postgres: bool = True
    nats: bool = True
    valkey: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The wanted ones, in a fixed order."""
        wanted = {postgres.NAME: self.postgres, nats.NAME: self.nats, valkey.NAME: self.valkey}
        return tuple(name for name, want in wanted.items() if want)


async def start(data_dir: Path, spec: ServerSpec = ServerSpec(), *, log: Log | None = None) -> "Servers":
    """Start the wanted servers at once and wait until each answers: 0.1 s; 1 to 2 s for a new folder.

    Takes the hold on the folder if this process has not got it, and then gives it back in `stop`. `log` is
    called as `log(event, **facts)`; no fact is a secret.

    Raises FolderInUse, FolderNotOurs, BinaryMissing, ForeignMajor or ServerFailed (the first that failed),
    having stopped the others.
    """
    leave = enter(data_dir)
    servers: Servers | None = None
    try:
        servers = Servers(lay_out(data_dir), spec, leave, log or _silent)
        outcomes = await asyncio.gather(*(servers.start_one(name) for name in spec.names), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return servers
    except BaseException:
        if servers is None:
            leave()
        else:
            await asyncio.shield(servers.stop())
        raise


class Servers:
    """Running servers; made by `start`. All methods are to be called from one event loop."""

    def __init__(self, folder: Folder, spec: ServerSpec, leave: Callable[[], None], log: Log) -> None:
        self._folder, self._spec, self._log = folder, spec, log
        self._leave: Callable[[], None] | None = leave
        self._children: dict[str, Child] = {}
        self._turns = {name: asyncio.Lock() for name in spec.names}
        self._dead: list[str] = []
        self._death = asyncio.Event()
        self._nats_port = nats.FREE_PORT
        self._lifeline = None if kernel_ends_orphans() else Lifeline()

    @property
    def postgres_dsn(self) -> str:
        """The database `turnlog` as its owner, a superuser: for migrations. NotServed when left out."""
        return postgres.dsn(self._folder, self._served(postgres.NAME, postgres.OWNER))

    @property
    def postgres_app_dsn(self) -> str:
        """The same database as `turnlog_app`, an ordinary role: for the services. NotServed when left out."""
        return postgres.dsn(self._folder, self._served(postgres.NAME, postgres.APP))

    @property
    def nats_url(self) -> str:
        """The NATS server, password included; it stays the same over restarts. NotServed when left out."""
        return nats.url(self._folder, self._served(nats.NAME, self._nats_port))

    @property
    def redis_url(self) -> str:
        """The Valkey server. NotServed when left out."""
        return self._served(valkey.NAME, valkey.url(self._folder))

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the servers that run now."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    def data_dir_of(self, name: str) -> Path:
        """A server's data; may be wiped while it is stopped, and is made anew at its start."""
        return self._folder.data(self._served(name, name))

    def log_path(self, name: str) -> Path:
        """A server's log."""
        return self._folder.log(self._served(name, name))

    async def start_one(self, name: str) -> None:
        """Start a server that is stopped or was killed; nothing if it runs. Raises as `start` does."""
        async with self._turns[self._served(name, name)]:
            child = self._children.get(name)
            if child is not None and name in self._dead:
                await child.wait(STOP_S)
            if child is None or not child.running:
                await self._bring_up(name)

    async def stop_one(self, name: str, deadline_s: float = STOP_S) -> None:
        """Stop a server: politely, after `deadline_s` hard. Nothing happens when it does not run."""
        async with self._turns[self._served(name, name)]:
            child = self._children.get(name)
            if child is not None and child.running:
                polite = await child.stop(deadline_s)
                self._log("server_stopped", server=name, pid=child.pid, polite=polite)

    async def restart(self, name: str) -> None:
        """Stop a server, then start it; its address stays the same."""
        await self.stop_one(name)
        await self.start_one(name)

    def kill(self, name: str) -> None:
        """SIGKILL, as a fault: `wait_exit` reports it. `start_one` brings the server back."""
        child = self._children.get(self._served(name, name))
        if child is not None and child.running:
            child.signal(signal.SIGKILL)
            self._report(name)

    async def wait_exit(self) -> str:
        """Wait until a server ends that was not told to, and return its name; at once when one lies dead."""
        await self._death.wait()
        return self._dead[0]

    async def stop(self, deadline_s: float = STOP_S) -> None:
        """Stop all servers at once and free the folder; a second call does nothing.

        PostgreSQL breaks off open transactions (a fast shutdown), Valkey writes its snapshot. What has not
        ended after `deadline_s` is stopped hard, which PostgreSQL survives by recovery at its next start.
        """
        await asyncio.gather(*(self.stop_one(name, deadline_s) for name in self._spec.names))
        if self._lifeline is not None:
            self._lifeline.close()
        leave, self._leave = self._leave, None
        if leave is not None:
            self._folder.forget_sockets()
            leave()

    async def _bring_up(self, name: str) -> None:
        began = time.monotonic()
        hard_signal = signal.SIGQUIT if name == postgres.NAME else signal.SIGKILL
        keep_log_small(self._folder.log(name))
        log_start = self._folder.make_file(self._folder.log(name)).stat().st_size
        lock_path = self._folder.make_file(self._folder.lock(name))
        lock_fd = await lock_server(name, lock_path, hard_signal=hard_signal)
        try:
            recipe = await self._prepare(name, lock_fd)
            child = spawn(recipe.order, lock_fd=lock_fd, lifeline=self._lifeline)
            note_pid(lock_fd, child.pid)
        finally:
            os.close(lock_fd)  # from now on only the server holds it
        self._watch(name, child)
        try:
            failure = await wait_ready(child, recipe.probe)
        except asyncio.CancelledError:
            child.stopping = True
            raise
        if failure is not None:
            await child.stop(deadline_s=STOP_S)
            raise self._failed(name, log_start, failure)
        if name == nats.NAME:
            self._nats_port = nats.port_of(self._folder) or self._nats_port
        took_ms = round((time.monotonic() - began) * 1000)
        self._log("server_started", server=name, pid=child.pid, took_ms=took_ms)

    async def _prepare(self, name: str, lock_fd: int) -> Recipe:
        async def run_tool(order: Order) -> None:
            log_start = order.log.stat().st_size
            tool = spawn(order, lock_fd=lock_fd, lifeline=self._lifeline)
            note_pid(lock_fd, tool.pid)
            try:
                ended = await tool.wait(TOOL_S)
            finally:
                tool.signal(signal.SIGKILL)
            if not ended or tool.exited.result() != 0:
                raise self._failed(name, log_start, f"could not be set up by {Path(order.argv[0]).name}")

        if name == postgres.NAME:
            return await postgres.prepare(self._folder, run_tool)
        return nats.prepare(self._folder, self._nats_port) if name == nats.NAME else valkey.prepare(self._folder)

    def _watch(self, name: str, child: Child) -> None:
        loop = asyncio.get_running_loop()
        self._children[name] = child
        self._dead = [other for other in self._dead if other != name]
        if not self._dead:
            self._death.clear()

        def ended(_: object) -> None:  # called in the child's thread
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._on_exit, name, child)

        child.exited.add_done_callback(ended)

    def _on_exit(self, name: str, child: Child) -> None:
        if not child.stopping and self._children.get(name) is child:
            self._log("server_died", server=name, pid=child.pid, status=child.exited.result())
            self._report(name)

    def _report(self, name: str) -> None:
        if name not in self._dead:
            self._dead.append(name)
        self._death.set()

    def _failed(self, name: str, log_start: int, reason: str) -> ServerFailed:
        tail = self._folder.log_tail(name, log_start)
        return ServerFailed(name, tail, reason=reason, log_path=self._folder.log(name))

    def _served(self, name: str, value: _T) -> _T:
        if name not in self._spec.names:
            raise NotServed(name)
        return value


def _silent(event: str, **facts: object) -> None:
    """The log of a caller that wants none."""
