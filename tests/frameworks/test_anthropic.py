"""Anthropic's memory tool: the SDK's own file system tool and ours told the same, and real runners over HTTP."""

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.lib.tools import BetaAbstractMemoryTool, ToolError
from anthropic.lib.tools._beta_builtin_memory_tool import BetaLocalFilesystemMemoryTool
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framework_examples import printed
from system import until
from turnlog_client import AsyncClient, Client
from turnlog_client.frameworks.anthropic import AsyncTurnlogMemoryTool, TurnlogMemoryTool
from turnlog_client.frameworks.anthropic.files import Files, applied
from turnlog_client.frameworks.anthropic.paths import path_of


@pytest.fixture
def session_id() -> str:
    return f"memory-{uuid.uuid4().hex}"


@pytest.fixture
def ours(client: Client, session_id: str) -> TurnlogMemoryTool:
    return TurnlogMemoryTool(client, session_id, user_id="ana")


@pytest.fixture(params=["the SDK's", "turnlog"])
def tool(request: pytest.FixtureRequest, ours: TurnlogMemoryTool, tmp_path: Path) -> BetaAbstractMemoryTool:
    return BetaLocalFilesystemMemoryTool(str(tmp_path)) if request.param == "the SDK's" else ours


def told(tool: BetaAbstractMemoryTool, command: str, **parameters: Any) -> str:
    """What the model reads: the answer, or the error after a mark."""
    try:
        return str(tool.call({"command": command, **parameters}))
    except ToolError as error:
        return f"! {error}"


NOTES = "/memories/notes.md"


def test_files_are_created_viewed_and_edited(tool: BetaAbstractMemoryTool) -> None:
    assert told(tool, "create", path=NOTES, file_text="one\ntwo\nthree\n") == f"File created successfully at: {NOTES}"
    assert told(tool, "create", path=NOTES, file_text="") == f"! File {NOTES} already exists"
    shown = f"Here's the content of {NOTES} with line numbers:\n     1\tone\n     2\ttwo\n     3\tthree\n     4\t"
    assert told(tool, "view", path=NOTES) == shown
    assert told(tool, "view", path=NOTES, view_range=[2, 3]).splitlines()[1:] == ["     2\ttwo", "     3\tthree"]
    assert told(tool, "view", path=NOTES, view_range=[3, -1]).splitlines()[1:] == ["     3\tthree", "     4\t"]
    edited = "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n"
    snippet = "     1\tone\n     2\tTWO\n     3\tthree\n     4\t"
    assert told(tool, "str_replace", path=NOTES, old_str="two", new_str="TWO") == edited + snippet
    said = told(tool, "str_replace", path=NOTES, old_str="four", new_str="")
    assert said == f"! No replacement was performed, old_str `four` did not appear verbatim in {NOTES}."
    said = told(tool, "str_replace", path=NOTES, old_str="e", new_str="")
    assert said == (
        "! No replacement was performed. Multiple occurrences of old_str `e` in lines: 1, 3, 3. "
        "Please ensure it is unique"
    )
    assert told(tool, "insert", path=NOTES, insert_line=0, insert_text="zero\n") == f"The file {NOTES} has been edited."
    said = told(tool, "insert", path=NOTES, insert_line=9, insert_text="x")
    assert said == "! Invalid `insert_line` parameter: 9. It should be within the range [0, 4]."
    assert [line[7:] for line in told(tool, "view", path=NOTES).splitlines()[1:]] == ["zero", "one", "TWO", "three", ""]


def test_what_is_not_there_is_said(tool: BetaAbstractMemoryTool) -> None:
    told(tool, "create", path="/memories/d/a.txt", file_text="a")
    missing = "! The path /memories/x does not exist. Please provide a valid path."
    assert told(tool, "view", path="/memories/x") == missing
    assert told(tool, "str_replace", path="/memories/x", old_str="a", new_str="b") == missing
    assert told(tool, "insert", path="/memories/x", insert_line=0, insert_text="b") == missing
    assert (
        told(tool, "str_replace", path="/memories/d", old_str="a", new_str="b")
        == "! The path /memories/d is not a file."
    )
    assert (
        told(tool, "insert", path="/memories/d", insert_line=0, insert_text="b")
        == "! The path /memories/d is not a file."
    )
    assert told(tool, "delete", path="/memories/x") == "! The path /memories/x does not exist"
    said = told(tool, "rename", old_path="/memories/x", new_path="/memories/y")
    assert said == "! The path /memories/x does not exist"


def test_files_and_folders_are_renamed_and_deleted(tool: BetaAbstractMemoryTool) -> None:
    for name in ("d/a.txt", "d/e/b.txt", "c.txt"):
        told(tool, "create", path=f"/memories/{name}", file_text=name)
    said = told(tool, "rename", old_path="/memories/d", new_path="/memories/f/g")
    assert said == "Successfully renamed /memories/d to /memories/f/g"
    assert told(tool, "view", path="/memories/f/g/e/b.txt").endswith("     1\td/e/b.txt")
    said = told(tool, "rename", old_path="/memories/c.txt", new_path="/memories/f")
    assert said == "! The destination /memories/f already exists"
    assert told(tool, "delete", path="/memories/f/g/e") == "Successfully deleted /memories/f/g/e"
    assert told(tool, "view", path="/memories/f/g/e/b.txt").startswith("! The path")
    assert told(tool, "delete", path="/memories") == "! Cannot delete the /memories directory itself"
    said = told(tool, "rename", old_path="/memories", new_path="/memories/m")
    assert said == "! Cannot rename the /memories directory itself"
    assert tool.clear_all_memory() == "All memory cleared"
    assert len(told(tool, "view", path="/memories").splitlines()) == 2
    assert told(tool, "create", path="/memories/c.txt", file_text="again").startswith("File created")


def test_folders_are_listed_two_levels_deep(tool: BetaAbstractMemoryTool) -> None:
    for name, size in (
        ("b.txt", 0),
        ("a/c.txt", 3),
        ("a/d/e.txt", 5),
        ("a/d/f/g.txt", 5),
        (".hidden", 1),
        ("z.bin", 1536),
    ):
        told(tool, "create", path=f"/memories/{name}", file_text="x" * size)
    lines = told(tool, "view", path="/memories").splitlines()
    assert lines[0] == "Here're the files and directories up to 2 levels deep in /memories, excluding hidden items:"
    files = [line for line in lines[1:] if not line.endswith("/")][1:]
    assert files == ["3B\t/memories/a/c.txt", "0B\t/memories/b.txt", "1.5K\t/memories/z.bin"]
    names = [line.split("\t")[1] for line in lines[1:]]
    assert names == [
        "/memories",
        "/memories/a/",
        "/memories/a/c.txt",
        "/memories/a/d/",
        "/memories/b.txt",
        "/memories/z.bin",
    ]
    inner = [line.split("\t")[1] for line in told(tool, "view", path="/memories/a").splitlines()[1:]]
    assert inner == ["/memories/a", "/memories/a/c.txt", "/memories/a/d/", "/memories/a/d/e.txt", "/memories/a/d/f/"]


OUTSIDE = [
    "/memories/../x",
    "/memories/a/../../x",
    "/memories/a/../../memories2/x",
    "/memories/..",
    "/memories/./../..",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_refused(tool: BetaAbstractMemoryTool, path: str) -> None:
    for command, more in (("view", {}), ("create", {"file_text": "x"}), ("delete", {})):
        assert told(tool, command, path=path, **more) == f"! Path {path} would escape /memories directory"
    said = told(tool, "rename", old_path="/memories/a", new_path=path)
    assert said == f"! Path {path} would escape /memories directory"


@pytest.mark.parametrize("path", ["", "/", "/etc/passwd", "memories/a", "/Memories/a", "../memories/a"])
def test_a_path_elsewhere_is_refused(tool: BetaAbstractMemoryTool, path: str) -> None:
    assert told(tool, "view", path=path) == f"! Path must start with /memories, got: {path}"


@pytest.mark.parametrize(
    "path",
    [
        "/memories2/a",
        "/memories/%2e%2e/a",
        "/memories/%252e%252E/a",
        "/memories/a%2f..%2f..%2f..%2fb",
        "/memories/..\\..\\a",
        "/memories/a\0b",
    ],
)
def test_paths_that_a_file_system_might_read_otherwise_are_refused(path: str) -> None:
    with pytest.raises(ToolError, match=r"escape|must start with"):
        path_of(path)


def test_other_paths_mean_what_they_say() -> None:
    assert path_of("/memories") == path_of("/memories/") == path_of("/memories/a/..") == ()
    assert path_of("/memories//a/./b/../100%/..c/") == ("a", "100%", "..c")


POOL = ["/memories/a.txt", "/memories/b.txt", "/memories/d/c.txt", "/memories/d"]
TEXT = st.text("ab\n\r x", max_size=12)
COMMANDS = st.one_of(
    st.builds(lambda p, t: {"command": "create", "path": p, "file_text": t}, st.sampled_from(POOL), TEXT),
    st.builds(
        lambda p, o, n: {"command": "str_replace", "path": p, "old_str": o, "new_str": n},
        st.sampled_from(POOL),
        st.text("ab\n", min_size=1, max_size=2),
        TEXT,
    ),
    st.builds(
        lambda p, n, t: {"command": "insert", "path": p, "insert_line": n, "insert_text": t},
        st.sampled_from(POOL),
        st.integers(-1, 4),
        TEXT,
    ),
    st.builds(lambda p: {"command": "delete", "path": p}, st.sampled_from(POOL[:3])),
    st.builds(
        lambda o, n: {"command": "rename", "old_path": o, "new_path": n},
        st.sampled_from(POOL[:3]),
        st.sampled_from(POOL),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(commands=st.lists(COMMANDS, max_size=12))
def test_any_commands_have_the_effect_they_have_on_the_sdks_files(
    commands: list[dict[str, Any]], tmp_path: Path
) -> None:
    disk = BetaLocalFilesystemMemoryTool(str(tmp_path / uuid.uuid4().hex))
    files = Files()
    for command in [{"command": "create", "path": "/memories/d/first.txt", "file_text": ""}, *commands]:
        try:
            said = applied(files, command)
        except ToolError as error:
            said = f"! {error}"
        parameters = {name: value for name, value in command.items() if name != "command"}
        assert told(disk, command["command"], **parameters) == said
    root = disk.memory_root
    there = {p.relative_to(root).parts: p.read_bytes().decode() for p in root.rglob("*") if p.is_file()}
    assert files.contents == there


def test_a_command_without_its_parameters_is_told_so(ours: TurnlogMemoryTool, client: Client, session_id: str) -> None:
    assert told(ours, "create", path=NOTES) == "! The create command needs the parameter `file_text`, a text."
    said = told(ours, "insert", path=NOTES, insert_line="one", insert_text="x")
    assert said == "! The insert command needs the parameter `insert_line`, a number."
    assert told(ours, "view") == "! The view command needs the parameter `path`, a text."
    told(ours, "create", path=NOTES, file_text="a")
    assert client.session(session_id)["version"] == 1


def test_the_log_keeps_every_command_as_it_is_read(ours: TurnlogMemoryTool, client: Client, session_id: str) -> None:
    long = "A long note, nul \0 and all. " * 1_000
    told(ours, "create", path=NOTES, file_text=long)
    told(ours, "rename", old_path=NOTES, new_path="/memories/old.md")
    told(ours, "delete", path="/memories/old.md")
    turns = client.turns(session_id, min_version=3)["turns"]
    shown = [t["content"] if isinstance(t["content"], str) else t["content"][0]["text"] for t in turns]
    assert shown == [
        f"create {NOTES}",
        f"rename {NOTES} to /memories/old.md",
        "delete /memories/old.md",
    ]
    assert {t["user_id"] for t in turns} == {"ana"}
    client.retract(session_id, 3, 3)
    until(lambda: "old.md" in told(ours, "view", path="/memories"), "the deletion is taken back")
    assert told(ours, "view", path="/memories/old.md").endswith(long)


def test_taking_back_a_creation_takes_its_edits_with_it(
    ours: TurnlogMemoryTool, client: Client, session_id: str
) -> None:
    told(ours, "create", path=NOTES, file_text="a secret")
    told(ours, "str_replace", path=NOTES, old_str="secret", new_str="wish")
    told(ours, "create", path="/memories/b", file_text="b")
    client.retract(session_id, 1, 1)
    until(lambda: NOTES not in told(ours, "view", path="/memories"), "the creation is taken back")
    assert told(ours, "view", path="/memories/b").endswith("\tb")


def test_a_file_beyond_a_turn_is_refused_with_what_to_do(ours: TurnlogMemoryTool) -> None:
    told(ours, "create", path="/memories/large", file_text="x" * 250_000)
    said = told(ours, "create", path=NOTES, file_text="x" * 300_000)
    assert said.startswith(f"! {NOTES} would take too much at once; write it in several smaller files")
    assert "notes" not in told(ours, "view", path="/memories")


def test_many_writers_at_once_lose_nothing(turnlog_url: str, session_id: str) -> None:
    path = "/memories/list.txt"
    failures: list[BaseException] = []

    def write(name: int) -> None:
        try:
            with Client(turnlog_url) as client:
                tool = TurnlogMemoryTool(client, session_id)
                for n in range(3):
                    told(tool, "create", path=f"/memories/{name}-{n}", file_text="x")
                    assert told(tool, "insert", path=path, insert_line=0, insert_text=f"{name}-{n}").endswith("edited.")
        except BaseException as error:
            failures.append(error)

    with Client(turnlog_url) as client:
        tool = TurnlogMemoryTool(client, session_id)
        told(tool, "create", path=path, file_text="")
        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        lines = re.findall(r"\d-\d", told(tool, "view", path=path))
        names = re.findall(r"\d-\d", told(tool, "view", path="/memories"))
    assert sorted(lines) == sorted(names) == [f"{a}-{b}" for a in range(4) for b in range(3)]


class Api:
    """Stands for Anthropic's API: answers each request with the next message of a script, over real HTTP."""

    def __init__(self, script: list[list[dict[str, Any]]]) -> None:
        self.requests: list[dict[str, Any]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                api.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                content = script[len(api.requests) - 1]
                reason = "tool_use" if content[-1]["type"] == "tool_use" else "end_turn"
                message = {
                    "id": f"msg_{len(api.requests)}",
                    "type": "message",
                    "role": "assistant",
                    "model": "scripted",
                    "content": content,
                    "stop_reason": reason,
                    "stop_sequence": None,
                    "usage": {"input_tokens": 1, "output_tokens": 1},
                }
                data = json.dumps(message).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Api":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def results(self) -> list[tuple[str, bool]]:
        """What the model was told by the tool, and whether as an error."""
        blocks = [block for request in self.requests for block in request["messages"][-1]["content"] if block != "go"]
        found = [b for b in blocks if isinstance(b, dict) and b["type"] == "tool_result"]
        return [
            (b["content"] if isinstance(b["content"], str) else b["content"][0]["text"], b.get("is_error", False))
            for b in found
        ]


def calls(number: int, **command: Any) -> list[dict[str, Any]]:
    return [{"type": "tool_use", "id": f"toolu_{number}", "name": "memory", "input": command}]


SCRIPT = [
    calls(1, command="view", path="/memories"),
    calls(2, command="create", path=NOTES, file_text="Ana likes window seats.\n"),
    calls(3, command="view", path="/memories/../etc/passwd"),
    calls(4, command="str_replace", path=NOTES, old_str="window", new_str="aisle"),
    [{"type": "text", "text": "Noted."}],
]
RUN: dict[str, Any] = {"model": "scripted", "max_tokens": 100, "messages": [{"role": "user", "content": "go"}]}


def check(api: Api) -> None:
    assert api.requests[0]["tools"] == [{"type": "memory_20250818", "name": "memory"}]
    results = api.results()
    assert [error for _, error in results] == [False, False, True, False]
    assert results[1][0] == f"File created successfully at: {NOTES}"
    assert results[2][0] == "Path /memories/../etc/passwd would escape /memories directory"
    assert results[3][0].endswith("     1\tAna likes aisle seats.\n     2\t")


def test_the_sdks_runner_uses_it_over_http(ours: TurnlogMemoryTool) -> None:
    with Api(SCRIPT) as api, anthropic.Anthropic(base_url=api.url, api_key="none", max_retries=0) as model:
        final = model.beta.messages.tool_runner(**RUN, tools=[ours]).until_done()
        assert final.content[0].type == "text"
        check(api)
    assert "aisle" in told(ours, "view", path=NOTES)


async def test_the_async_runner_uses_it_over_http(turnlog_url: str, session_id: str) -> None:
    async with AsyncClient(turnlog_url) as client:
        tool = AsyncTurnlogMemoryTool(client, session_id)
        with Api(SCRIPT) as api:
            async with anthropic.AsyncAnthropic(base_url=api.url, api_key="none", max_retries=0) as model:
                await model.beta.messages.tool_runner(**RUN, tools=[tool]).until_done()
            check(api)
        for command in (
            {"command": "insert", "path": NOTES, "insert_line": 0, "insert_text": "first"},
            {"command": "rename", "old_path": NOTES, "new_path": "/memories/n"},
            {"command": "delete", "path": "/memories/n"},
        ):
            await tool.call(command)
        assert await tool.clear_all_memory() == "All memory cleared"
        assert str(await tool.call({"command": "view", "path": "/memories"})).endswith("0B\t/memories")


def test_the_example_runs(turnlog_url: str) -> None:
    lines = printed("with_anthropic.py", turnlog_url).splitlines()
    assert lines[0] == "the model says: I noted it."
    assert lines[-1].endswith("Ana likes window seats.")
