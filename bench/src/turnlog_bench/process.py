"""A Python process of the run: started, awaited, stopped, and never left behind."""

import asyncio
import contextlib
import random
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

READY_S = 30.0
STOP_S = 15.0


class MeasureFailed(Exception):
    """A figure cannot be measured; the message says why."""


class Process:
    """`python -m MODULE ARGUMENTS` with its log in a file. It is in a session of its own, so that Ctrl-C reaches
    only us, who then end it in order."""

    def __init__(self, name: str, child: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self._child, self._log = name, child, log
        self._stopping = False

    @classmethod
    async def start(
        cls, name: str, arguments: list[str], environment: Mapping[str, str], log: Path, *, piped: bool = False
    ) -> "Process":
        """Start it; `piped` gives us its standard input and output."""
        pipe = asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL
        with log.open("ab") as sink:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *arguments, env=dict(environment), stdin=pipe,
                stdout=pipe if piped else sink, stderr=sink, start_new_session=True, limit=64 * 1024 * 1024,
            )  # fmt: skip
        return cls(name, child, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def check(self) -> None:
        """Raise `MeasureFailed` when it has ended unasked."""
        if self._child.returncode is not None and not self._stopping:
            tail = self._log.read_text(errors="replace").strip().splitlines()[-3:]
            raise MeasureFailed(f"{self.name} ended with status {self._child.returncode}: {' / '.join(tail)}")

    async def ready(self, port: int) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(READY_S):
            while True:
                self.check()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    async def ask(self, line: bytes, timeout_s: float) -> bytes:
        """Write a line to it and read its answer."""
        self.check()
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line)
        await self._child.stdin.drain()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._child.stdout.readline()
        except TimeoutError:
            raise MeasureFailed(f"{self.name} did not answer within {timeout_s:g} s") from None
        if not answer:
            await asyncio.wait({asyncio.ensure_future(self._child.wait())}, timeout=STOP_S)
            self.check()
            raise MeasureFailed(f"{self.name} closed its output")
        return answer

    def pause(self) -> None:
        """SIGSTOP: it takes no CPU until `resume`."""
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        if self._child.returncode is None:
            self._child.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, after a while SIGKILL; nothing when it has ended."""
        self._stopping = True
        for name in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            if self._child.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(name)
            if name != signal.SIGCONT:
                await asyncio.wait({asyncio.ensure_future(self._child.wait())}, timeout=STOP_S)


def free_port() -> int:
    """A port that nobody listens on now, below those that the kernel gives to outgoing connections: between now and its
    use no connection can take it."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise MeasureFailed("no free port between 20000 and 32000")
