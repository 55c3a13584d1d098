"""`turnlog up` on a folder as a process, for the end-to-end tests: started, asked, interrupted, killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from turnlog_client import Client, RetryPolicy

START_S, STOP_S = 60.0, 40.0
OURS = ("TURNLOG_", "DATABASE_URL", "NATS_URL", "REDIS_URL", "SECRET_KEY")


def command_line(process: psutil.Process) -> list[str]:
    """What a process runs; empty for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything meant for a Turnlog; it asks for no credentials unless `more` says
    otherwise."""
    return {k: v for k, v in os.environ.items() if not k.startswith(OURS)} | {"TURNLOG_AUTH": "off"} | more


def until(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    """Wait until the condition holds; its value."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.02)
    return value


def turnlog(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    """One command, run to its end."""
    options: dict[str, Any] = {"env": environment(), "timeout": 90, **more}
    command = [sys.executable, "-m", "turnlog_cli", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class System:
    """A running `turnlog up`; after `stop` or a kill it can be started again on the same folder."""

    def __init__(self, folder: Path, **more: str) -> None:
        """`more` is added to its environment."""
        self.folder = folder
        self._environment = environment(**more)
        self._output = folder.with_name(folder.name + ".out")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> "System":
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "turnlog_cli", "up", "--json", "--port", "0", "--data-dir", str(self.folder)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True
            )
        self.url = self.event("ready", START_S)["url"]
        return self

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process of `up` itself."""
        assert self._process is not None
        return self._process

    def events(self) -> list[dict[str, Any]]:
        """What it has said so far."""
        lines = self._output.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def event(self, event: str, deadline_s: float = 30.0, **facts: str) -> dict[str, Any]:
        """Wait until it says this."""

        def said() -> dict[str, Any] | None:
            found = [e for e in self.events() if e["event"] == event and all(e.get(k) == v for k, v in facts.items())]
            assert found or self.process.poll() is None, self._output.read_text()
            return found[0] if found else None

        found: dict[str, Any] = until(said, f"{event} {facts}", deadline_s)
        return found

    def tree(self) -> list[psutil.Process]:
        """Every process of the system, `up` first."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def find(self, command: str) -> psutil.Process:
        """The process that runs this, by a word of its command line."""
        return next(p for p in self.tree()[1:] if any(command in word for word in command_line(p)))

    def interrupt(self) -> list[psutil.Process]:
        """Ctrl-C; waits for the end and returns the processes that there were."""
        tree = self.tree()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(STOP_S)
        return tree

    def kill_up(self) -> list[psutil.Process]:
        """SIGKILL for `up` alone; the processes that there were."""
        tree = self.tree()
        self.process.kill()
        self.process.wait(STOP_S)
        return tree

    def kill_everything(self) -> None:
        """SIGKILL for every process of the tree."""
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):  # the kernel was faster
                process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """End it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.interrupt()

    def client(self, api_key: str | None = None) -> Client:
        """A client of its API."""
        return Client(self.url, api_key=api_key, retry=RetryPolicy(total_s=30))

    def run(self, *words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        """A command on its data folder, in its environment unless `env` is given."""
        more.setdefault("env", self._environment)
        return turnlog(*words, "--data-dir", str(self.folder), **more)

    def addresses(self) -> dict[str, Any]:
        """The addresses it wrote down."""
        found: dict[str, Any] = json.loads((self.folder / "run" / "addresses.json").read_text())
        return found


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended; one that nobody collects (in a container) has, too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
