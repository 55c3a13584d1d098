"""`turnlog top` on a running system: once, as JSON, in a terminal; with a compressor that is killed and comes back."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from real_prometheus import free_port
from system import System, environment, turnlog, until

READY_S = 60.0


@contextlib.contextmanager
def compressor_beside(system: System, port: int, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A compressor that stands by, as a process with metrics of its own."""
    addresses = system.addresses()
    settings = environment(
        DATABASE_URL=addresses["database_url"],
        NATS_URL=addresses["nats_url"],
        REDIS_URL=addresses["redis_url"],
        TURNLOG_METRICS_PORT=str(port),
    )
    with (folder / "compressor.log").open("ab") as output:
        command = [sys.executable, "-m", "turnlog_compressor"]
        process = subprocess.Popen(command, env=settings, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(30)


class Streaming:
    """`turnlog top --json`, and what it has said last."""

    def __init__(self, system: System, *words: str) -> None:
        self._file = system.folder.with_name("top.json")
        command = [sys.executable, "-m", "turnlog_cli", "top", "--json", "--interval", "0.5", *words]
        with self._file.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, env=environment())

    def last(self) -> dict[str, Any]:
        assert self.process.poll() is None
        lines = self._file.read_bytes().split(b"\n")[:-1]
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {"replicas": [], "notes": []}
        return found

    def away(self, port: int) -> bool:
        return any(replica["away"] for replica in self.last()["replicas"] if replica["url"].endswith(f":{port}"))

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 130


def test_one_look_tells_of_everything(loaded: System) -> None:
    done = loaded.run("top", "--once", "--interval", "1")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for word in ("Requests", "turns", "main", "api, compressor, projector", "PostgreSQL", "NATS", "Valkey", "Sessions"):
        assert word in done.stdout
    assert "\x1b" not in done.stdout, "no colour without a terminal"
    assert loaded.run("top", "--interval", "1").stdout.startswith(("Requests", "!")), "without a terminal it looks once"


def test_rates_lags_and_leaders_are_those_of_the_system(loaded: System) -> None:
    with loaded.client() as client:
        streaming = Streaming(loaded, "--data-dir", str(loaded.folder))
        try:

            def stored() -> bool:
                client.store("e2e-top", "user", "one more")
                last = streaming.last()
                return "writes" in last and last["writes"]["turns"] > 0 and last["stores"]["sessions"]

            until(stored, "top sees turns stored", READY_S)
            position = client.log()["position"]
            until(lambda: streaming.last()["logs"][0]["position"] == position, "top knows the log's position")
            last = streaming.last()
            (log,) = [log for log in last["logs"] if log["log"] == "main"]
            assert log["led"] == {"relay": True, "projector": True, "compressor": True}
            until(lambda: streaming.last()["logs"][0]["lags"]["projector"]["events"] == 0, "the projector is current")
            newest = until(lambda: streaming.last()["stores"]["sessions"]["newest"], "sessions are known")
            until(lambda: streaming.last()["stores"]["sessions"]["newest"][0]["session_id"] == "e2e-top", "the newest")
            assert newest[0]["tenant"] == "default"
            assert {server["name"] for server in last["stores"]["servers"]} == {"PostgreSQL", "NATS", "Valkey"}
            assert all(server["version"] and not server["away"] for server in last["stores"]["servers"])
        finally:
            streaming.end()


@pytest.mark.faults
def test_a_killed_compressor_is_told_in_words_and_so_is_that_it_is_back(loaded: System, tmp_path: Path) -> None:
    port = free_port()
    words = ("--url", loaded.url, "--url", f"http://127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(compressor_beside(loaded, port, tmp_path))
        streaming = Streaming(loaded, *words)
        stack.callback(streaming.process.kill)
        until(lambda: len(streaming.last()["replicas"]) == 2 and not streaming.away(port), "both answer", READY_S)
        process.kill()
        until(lambda: streaming.away(port), "the kill is seen")
        (note,) = [note for note in streaming.last()["notes"] if str(port) in note]
        assert "does not answer" in note
        assert "the connection is refused" in note
        once = turnlog("top", "--once", "--interval", "0.5", *words)
        assert once.returncode == 0
        assert f"! 127.0.0.1:{port} does not answer" in once.stdout
        stack.enter_context(compressor_beside(loaded, port, tmp_path))
        until(lambda: not streaming.away(port), "it is back", READY_S)
        streaming.end()


@pytest.mark.faults
def test_the_compressor_of_up_is_missed_until_it_is_started_again(loaded: System) -> None:
    streaming = Streaming(loaded, "--data-dir", str(loaded.folder))
    try:
        until(lambda: streaming.last().get("logs") and not nobody(streaming), "everything is led", READY_S)
        loaded.find("turnlog_compressor").kill()
        until(lambda: nobody(streaming), "nobody leads the compressor")
        until(lambda: not nobody(streaming), "the next one leads", READY_S)
    finally:
        streaming.end()


def nobody(streaming: Streaming) -> bool:
    return "nobody leads the compressor of log main" in streaming.last()["notes"]


def test_in_a_terminal_it_goes_on_until_q(loaded: System) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command = [sys.executable, "-m", "turnlog_cli", "top", "--data-dir", str(loaded.folder)]
    settings = environment(TERM="xterm-256color")
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=settings, start_new_session=True
    )
    os.close(theirs)
    shown = bytearray()
    try:
        until(lambda: b"PostgreSQL" in read(ours, shown), "the servers are shown", READY_S)
        os.write(ours, b"q")
        until(lambda: read(ours, shown) and process.poll() is not None, "it ends")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def read(terminal: int, shown: bytearray) -> bytearray:
    """What the terminal has been sent so far."""
    if select.select([terminal], [], [], 0.1)[0]:
        with contextlib.suppress(OSError):  # the other end is closed
            shown += os.read(terminal, 65_536)
    return shown


def test_the_address_that_a_reader_of_the_docs_has_set_is_that_of_the_folder(loaded: System) -> None:
    words = ("top", "--once", "--interval", "0.2", "--data-dir", str(loaded.folder))
    for url, told in ((loaded.url, True), (loaded.url.replace("127.0.0.1", "localhost"), False)):
        done = turnlog(*words, env=environment(TURNLOG_URL=url))
        assert done.returncode == 0, done.stderr
        assert ("PostgreSQL   " in done.stdout) == told
        assert ("Servers    not asked" in done.stdout) != told


def test_what_cannot_be_watched_is_said(tmp_path: Path) -> None:
    nothing = turnlog("top", "--once", "--data-dir", str(tmp_path / "empty"))
    assert nothing.returncode == 2
    assert "start `turnlog up`" in nothing.stderr
    wrong = turnlog("top", "--once", "--url", "localhost:8080")
    assert wrong.returncode == 2
    assert "is no address" in wrong.stderr
    port = free_port()
    away = turnlog("top", "--once", "--interval", "0.2", "--url", f"http://127.0.0.1:{port}")
    assert away.returncode == 1
    assert f"! 127.0.0.1:{port} does not answer" in away.stdout
    assert "Traceback" not in away.stderr


def test_an_address_without_metrics_is_said(loaded: System) -> None:
    done = turnlog("top", "--once", "--interval", "0.2", "--url", f"{loaded.url}/v1")
    assert done.returncode == 1
    assert "it has no metrics at this address" in done.stdout or "it answers" in done.stdout
