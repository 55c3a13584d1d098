"""Replicas of a service as processes of their own, and clients that keep their connections, for tests of deploys."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_S, STOP_S = 120.0, 30.0
OURS = ("TURNLOG_", "DATABASE_URL", "NATS_URL", "REDIS_URL", "SECRET_KEY")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Replica:
    """One process of a service."""

    module: str
    environment: dict[str, str]
    log_path: Path
    port: int = field(default_factory=free_port)
    port_setting: str = "TURNLOG_PORT"
    """The setting of the port at which it says how it is."""
    _process: asyncio.subprocess.Process | None = None

    async def start(self, *, until_ready: bool = True) -> "Replica":
        """Start it and wait until it answers (with `until_ready`: until it is ready)."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        with self.log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module),
                env=kept | {"TURNLOG_AUTH": "off"} | self.environment | {self.port_setting: str(self.port)},
                stdout=log,
                stderr=log,
            )
        path = "/readyz" if until_ready else "/livez"
        async with httpx.AsyncClient(base_url=self.url) as client:
            deadline = time.monotonic() + START_S
            while True:
                assert time.monotonic() < deadline, self.log()
                assert self._process.returncode is None, self.log()
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(path)).is_success:
                        return self
                await asyncio.sleep(0.05)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What it said."""
        return self.log_path.read_text()

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: its connections stay, and nothing comes of them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT; nothing when it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait for its end; the exit status."""
        assert self._process is not None
        async with asyncio.timeout(STOP_S):
            return await self._process.wait()

    async def kill(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Replicas:
    """The replicas that clients may call, each in turn."""

    def __init__(self, *replicas: Replica) -> None:
        self.all = list(replicas)
        self._turn = 0

    def next(self) -> Replica:
        """Where the next connection goes."""
        self._turn += 1
        return self.all[self._turn % len(self.all)]


class Connection:
    """A kept-alive HTTP/1.1 connection of one client, which goes elsewhere only when it is told to close or refused.

    By hand, because it must see what libraries hide: an answer that never comes on an open connection is an error
    here, never a retry.
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._replica: Replica | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.connects = 0

    @property
    def open(self) -> bool:
        """Whether the last answer left the connection open."""
        return self._writer is not None

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes, Replica]:
        """One request; its status, body, and who answered."""
        while self._writer is None:
            self._replica = self._replicas.next()
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._replica.port)
                self.connects += 1
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)
        assert self._reader is not None
        assert self._replica is not None
        head = f"{method} {path} HTTP/1.1\r\nhost: t\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.split(" ", 2)[1])
        length = int(answer.split("content-length: ")[1].split("\r\n")[0])
        found = await self._reader.readexactly(length)
        who = self._replica
        if "connection: close" in answer:
            await self.close()
        return status, found, who

    async def close(self) -> None:
        """Close it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@asynccontextmanager
async def replicas(module: str, environment: dict[str, str], folder: Path, count: int) -> AsyncIterator[list[Replica]]:
    """So many replicas; the first two are started, all are ended on leaving."""
    made = [Replica(module, environment, folder / f"{module}-{number}.log") for number in range(count)]
    try:
        await asyncio.gather(*(replica.start() for replica in made[:2]))
        yield made
    finally:
        await asyncio.gather(*(replica.kill() for replica in made))
