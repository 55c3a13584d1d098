"""`turnlog mcp`: a client that starts it speaks over its standard input and output, and shares a data folder."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import psutil
import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client

from speaking import HANDSHAKE, MODERN, call, handshake
from system import System, environment, gone, until

END_S = 30.0


class Speaker:
    """A `turnlog mcp`, spoken to line by line."""

    def __init__(self, *words: str, **settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "turnlog_cli", "mcp", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(**settings),
        )
        self.children: list[psutil.Process] = []

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line, which must be of the protocol."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it ended"
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        self.children = psutil.Process(self.process.pid).children(recursive=True)
        return message

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.say(message)
        return self.hear()

    def use(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers."""
        result = self.ask(call(tool, **arguments))["result"]
        assert not result.get("isError"), result
        found: dict[str, Any] = result["structuredContent"]
        return found

    def end(self) -> int:
        """Close its input; its exit status. Nothing of it is left, and it said nothing more."""
        rest, _ = self.process.communicate(timeout=END_S)
        assert rest == b""
        until(lambda: all(map(gone, self.children)), "its processes have ended")
        return self.process.returncode


@contextlib.contextmanager
def speaker(*words: str, **settings: str) -> Iterator[Speaker]:
    started = Speaker(*words, **settings)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait(END_S)
        for pipe in (started.process.stdin, started.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                cast("IO[bytes]", pipe).close()


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A short path: unix sockets are in it."""
    made = Path(tempfile.mkdtemp(prefix="turnlog-mcp-"))
    yield made / "data"
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.faults
@pytest.mark.timeout(300)  # it starts two whole systems
def test_two_clients_share_a_folder_and_the_second_takes_over(own_folder: Path) -> None:
    words = ("--data-dir", str(own_folder))
    with speaker(*words) as first:
        kept = first.use("store_memory", session_id="shared", message="from the first")
        with speaker(*words) as second:
            assert second.use("get_recent_turns", session_id="shared")["version"] == kept["version"]
            assert not second.children
            assert first.end() == 0
            placed = second.use("store_memory", session_id="shared", message="from the second")
            assert placed["version"] == 2
            assert second.children
            assert second.end() == 0


def test_it_speaks_the_protocol_with_a_handshake(system: System) -> None:
    with speaker("--data-dir", str(system.folder)) as spoken:
        client = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        assert spoken.ask(handshake("initialize", **client))["result"]["protocolVersion"] == HANDSHAKE
        spoken.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert len(spoken.ask(handshake("tools/list"))["result"]["tools"]) == 5
        assert not spoken.children
        assert spoken.end() == 0


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_the_sdk_starts_it_and_calls_the_server_named(system: System, mode: str) -> None:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "turnlog_cli", "mcp"], env=environment(TURNLOG_URL=system.url)
    )
    async with Client(command, mode=mode) as client:  # type: ignore[arg-type]
        result = await client.call_tool("store_memory", {"agent_id": "desktop", "message": "hello"})
        assert not result.is_error, result.content


def test_a_call_that_was_cancelled_and_repeated_is_one_turn(system: System) -> None:
    with speaker(TURNLOG_URL=system.url) as spoken:
        session = "cancelled-over-stdio"
        for number in range(20):
            turn = call("store_memory", session_id=session, message="once", turn_id=f"t-{number}")
            spoken.say({**turn, "id": f"first-{number}"})
            cancelled = {"requestId": f"first-{number}"}
            spoken.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
            spoken.say({**turn, "id": f"again-{number}"})
            while (heard := spoken.hear())["id"] != f"again-{number}":
                pass
            assert heard["result"]["structuredContent"]["version"] == number + 1
        found = spoken.use("get_recent_turns", session_id=session, limit=100)
        assert [turn["turn_id"] for turn in found["turns"]] == [f"t-{number}" for number in range(20)]
        assert spoken.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_waits_for_input(system: System, number: signal.Signals) -> None:
    with speaker(TURNLOG_URL=system.url) as spoken:
        spoken.use("list_sessions")
        spoken.process.send_signal(number)
        assert spoken.process.wait(END_S) == 0


def test_a_client_that_is_gone_ends_it(system: System) -> None:
    with speaker(TURNLOG_URL=system.url) as spoken:
        spoken.use("list_sessions")
        assert spoken.process.stdout is not None
        spoken.process.stdout.close()
        spoken.say(call("list_sessions"))
        assert spoken.process.wait(END_S) == 0


def test_no_input_is_the_end(system: System) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "turnlog_cli", "mcp"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(TURNLOG_URL=system.url),
        timeout=END_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_it_cannot_do_it_says_on_standard_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "turnlog_cli", "mcp", "--url", "nowhere"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=END_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere is no address of an API" in done.stderr
