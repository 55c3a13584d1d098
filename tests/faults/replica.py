"""One process of one of our services: started, asked, killed, paused, stopped. Called by `world.py` and the faults."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg

READY_S = 30.0
STOP_S = 15.0
LOOK_S = 0.05
SERVES_API = ("ingest", "query")
LEADING = {"ingest": "relay", "projector": "projector", "compressor": "compressor"}
# The kernel ends it with us, however we end: a run that is killed leaves nobody behind.
_START = """
import ctypes, os, runpy, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv.pop(1)):
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
_HOLDERS = """
    select name from unnest($2::text[]) as name
      join pg_locks on locktype = 'advisory' and granted and objsubid = 1
       and ((classid::bigint << 32) | objid::bigint) = hashtextextended(name, 0)
      join pg_stat_activity using (pid)
     where usename = $1
"""


class Replica:
    """A service's process and how it fares. `down` says that it is away on purpose: nobody is to start it."""

    def __init__(
        self, name: str, environment: Mapping[str, str], folder: Path, owner_dsn: str, logs: tuple[str, ...]
    ) -> None:
        self.name = name
        self.service = name.rpartition("-")[0]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        """Its own address; of a projector or compressor, where its health is."""
        self.log_path = folder / f"{name}.log"
        self.down = False
        self.paused = False
        self.deaths: list[int] = []
        """Exit statuses of each time it ended without being told to."""
        self._port_setting = "TURNLOG_PORT" if self.service in SERVES_API else "TURNLOG_METRICS_PORT"
        self._environment = dict(environment) | {self._port_setting: str(self.port)}
        self._owner_dsn, self._logs = owner_dsn, logs
        self._child: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Its process id; of the last process, when it does not run."""
        return self._child.pid if self._child is not None else 0

    @property
    def alive(self) -> bool:
        """Whether its process runs (or is paused)."""
        return self._child is not None and self._child.returncode is None

    @property
    def exit_status(self) -> int | None:
        """How the last process ended; None while it runs."""
        return self._child.returncode if self._child is not None else None

    async def start(self, more: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Start it, with `more` environment this once; `wait` until it listens. Nothing when it runs."""
        async with self._starting:  # whoever looks after it must not start it as well
            if not self.alive:
                with self.log_path.open("ab") as sink:
                    self._child = await asyncio.create_subprocess_exec(
                        sys.executable, "-c", _START, str(os.getpid()), f"turnlog_{self.service}",
                        env=self._environment | dict(more or {}), stdin=asyncio.subprocess.DEVNULL,
                        stdout=sink, stderr=sink, start_new_session=True,
                    )  # fmt: skip
            self.down = False
        if wait:
            await self.until_it_answers(READY_S)

    async def until_it_answers(self, deadline_s: float, path: str = "/livez") -> None:
        """Wait until it answers 200. Raises TimeoutError with the end of its log."""
        try:
            async with asyncio.timeout(deadline_s):
                while not await self.answers(path):
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            ended = "" if self.alive else f"; it ended with status {self.exit_status}"
            raise TimeoutError(
                f"{self.name}: no 200 at {path} within {deadline_s:g} s{ended}\n{self.log_tail()}"
            ) from None

    async def answers(self, path: str = "/livez", timeout_s: float = 2.0) -> bool:
        """Whether it answers 200 at this path now."""
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
                    return (await reader.readline()).split(b" ")[1:2] == [b"200"]
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False

    def kill(self) -> None:
        """SIGKILL; it stays away until `start`."""
        self.down = True
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.paused = False
        self._signal(signal.SIGCONT)

    async def terminate(self, deadline_s: float = STOP_S) -> int:
        """SIGTERM and wait; it stays away until `start`. The exit status: -9 when it had to be killed."""
        self.down = True
        self._signal(signal.SIGTERM)
        if not await self.ended(deadline_s):
            self._signal(signal.SIGKILL)
            await self.ended(STOP_S)
        status = self.exit_status
        return 0 if status is None else status

    async def ended(self, deadline_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        if self._child is not None and self._child.returncode is None:
            waiting = asyncio.ensure_future(self._child.wait())
            await asyncio.wait({waiting}, timeout=deadline_s)
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})
        return not self.alive

    async def leads(self) -> set[str]:
        """What it leads now ("relay/main", "projector/second" …), as PostgreSQL knows it; raises OSError and the
        like while PostgreSQL is away."""
        kind = LEADING.get(self.service)
        if kind is None:
            return set()
        connection = await asyncpg.connect(self._owner_dsn, timeout=5)
        try:
            rows = await connection.fetch(_HOLDERS, self.name, [f"{kind}/{log}" for log in self._logs], timeout=5)
        finally:
            connection.terminate()
        return {str(row["name"]) for row in rows}

    def log_tail(self, lines: int = 12) -> str:
        """The end of its log."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _signal(self, number: int) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port between 20000 and 32000")
