"""The pure parts of the MCP server: what is shown, who is allowed, what an answer keeps, and what the page says."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_client import ApiError, Unavailable
from turnlog_mcp.answers import Span
from turnlog_mcp.door import Allowed
from turnlog_mcp.failures import told
from turnlog_mcp.recalled import compressed_memory, recent_turns
from turnlog_mcp.shown import shown, shown_value
from turnlog_mcp.tools import TOOLS

PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("plain text\n\twith lines", "plain text\n\twith lines"),
        ("line\r\nline", "line\nline"),
        ("\x1b[31mred\x9b0m", "\\u{1b}[31mred\\u{9b}0m"),
        ("a\u202eb\u2066c", "a\\u{202e}b\\u{2066}c"),
        ("hid\U000e0041\U000e0042", "hid\\u{e0041}\\u{e0042}"),
        ("zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"),
        ("blank\u3164\u2800", "blank\\u{3164}\\u{2800}"),
        ("no\u00a0break\u3000", "no break "),
        ("❤️‍🔥 and 👩‍👩‍👧", "❤️‍🔥 and 👩‍👩‍👧"),
        ("می‌خواهم", "می‌خواهم"),
        ("a\u200d\u200c\u200d", "a\\u{200d}\\u{200c}\\u{200d}"),
        (" \ufe01", " \\u{fe01}"),
        ("a\U000e0101", "a\\u{e0101}"),
    ],
)
def test_what_nobody_sees_is_written_out(text: str, is_shown: str) -> None:
    assert shown(text) == is_shown


@given(st.text())
def test_shown_text_is_visible_and_stays_so(text: str) -> None:
    once = shown(text)
    assert shown(once) == once
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]", once)


def test_values_are_shown_to_the_last_key() -> None:
    assert shown_value({"\x1b": ["\x1b", 1, None, {"a": "\u202e"}]}) == {
        "\\u{1b}": ["\\u{1b}", 1, None, {"a": "\\u{202e}"}]
    }


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost", True),
        ("LocalHost:80", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("memory.example.com", True),
        ("memory.example.com:444", True),
        ("only.example.com:8443", True),
        ("only.example.com", False),
        ("127.0.0.1.nip.io", False),
        ("evil.example.com", False),
        ("memory.example.com.evil.com", False),
        ("localhost:80:90", False),
        ("user@localhost", False),
        ("localhost/", False),
        ("", False),
    ],
)
def test_hosts(host: str, admitted: bool) -> None:
    assert Allowed(["memory.example.com", "only.example.com:8443"]).host(host) is admitted


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("https://app.example.com", True),
        ("https://APP.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.com", False),
        ("null", False),
        ("file://", False),
        ("chrome-extension://abc", False),
    ],
)
def test_origins(origin: str, admitted: bool) -> None:
    assert Allowed(origins=["https://app.example.com/"]).origin(origin) is admitted


def view(version: int, content: Any = "hello") -> dict[str, Any]:
    """A turn as the API gives it."""
    return {"version": version, "role": "user", "content": content, "turn_id": f"t{version}", "recorded_at": "now"}


def page_of(*views: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": "s", "version": views[-1]["version"], "revision": 0, "turns": list(views), "source": "redis"}


@pytest.mark.parametrize(
    ("asked", "max_chars", "versions", "left_out"),
    [(20, 1_000, [3, 4, 5], None), (3, 1_000, [3, 4, 5], Span(1, 2)), (20, 14, [4, 5], Span(1, 3))],
)
def test_the_newest_turns_are_kept(asked: int, max_chars: int, versions: list[int], left_out: Span | None) -> None:
    found = recent_turns(page_of(view(3), view(4), view(5)), asked, max_chars)
    assert [turn.version for turn in found.turns] == versions
    assert found.left_out == left_out


def test_a_turn_larger_than_the_answer_is_cut_and_marked() -> None:
    [turn] = recent_turns(page_of(view(1), view(2, [{"type": "text", "text": "x" * 500}])), 20, 100).turns
    assert (turn.version, turn.cut, len(turn.content)) == (2, True, 100)


def test_compressed_memory_is_the_summary_and_what_it_does_not_cover() -> None:
    summary = {"session_id": "s", "text": "All.", "covered_to": 3, "nodes": [{"model": "extractive"}]}
    found = compressed_memory(summary, page_of(view(3), view(4), view(5)), 1_000)
    assert (found.summary, found.covered_to, found.made_by) == ("All.", 3, ["extractive"])
    assert [turn.version for turn in found.turns] == [4, 5]
    assert found.left_out is None
    assert compressed_memory(summary, page_of(view(7), view(8)), 1_000).left_out == Span(4, 6)


def test_errors_say_what_to_do() -> None:
    refused = ApiError(422, "invalid_text", "content: holds NUL at character 3; leave it out", "content")
    assert told(refused) == "message: holds NUL at character 3; leave it out (invalid_text)"
    unknown = told(Unavailable("gone", outcome_unknown=True), "t-1")
    assert "unknown" in unknown
    assert 'turn_id "t-1"' in unknown
    assert "nothing was stored" in told(Unavailable("full", retry_after_s=2.0), "t-1")
    assert told(Unavailable("full", retry_after_s=2.0)) == "Turnlog does not answer now; call again in 2 s."
    assert "valid API key" in told(ApiError(401, "unauthenticated", "no"))


def snippets() -> dict[str, Any]:
    """The configurations in the page, by their names, parsed."""
    found = re.findall(r"<!-- snippet: (.+?) -->\n```(json|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {name: json.loads(text) if kind == "json" else tomllib.loads(text) for name, kind, text in found}


def server_of(name: str) -> dict[str, Any]:
    """Turnlog's entry, under the one key that the client reads."""
    key = {"vscode": "servers", "codex": "mcp_servers"}.get(name.split()[0], "mcpServers")
    parsed = snippets()[name]
    assert set(parsed) - {"inputs"} == {key}
    assert list(parsed[key]) == ["turnlog"]
    entry: dict[str, Any] = parsed[key]["turnlog"]
    return entry


HTTP_URL = "http://127.0.0.1:8080/mcp"


def test_every_client_has_its_snippets() -> None:
    assert list(snippets()) == [
        "claude-code http",
        "claude-code stdio",
        "claude-desktop stdio",
        "claude-desktop remote",
        "cursor http",
        "cursor stdio",
        "vscode http",
        "vscode stdio",
        "codex http",
        "codex stdio",
    ]


@pytest.mark.parametrize(
    ("name", "typed", "credential"),
    [
        ("claude-code http", True, "Bearer ${TURNLOG_API_KEY}"),
        ("cursor http", False, "Bearer ${env:TURNLOG_API_KEY}"),
        ("vscode http", True, "Bearer ${input:turnlog-key}"),
    ],
)
def test_clients_over_http(name: str, typed: bool, credential: str) -> None:
    expected: dict[str, Any] = {"url": HTTP_URL, "headers": {"Authorization": credential}}
    assert server_of(name) == (expected | {"type": "http"} if typed else expected)


def test_vs_code_asks_for_the_key_it_uses() -> None:
    [asked] = snippets()["vscode http"]["inputs"]
    assert set(asked) == {"type", "id", "description", "password"}
    assert (asked["type"], asked["id"], asked["password"]) == ("promptString", "turnlog-key", True)


def test_codex_over_http_names_the_variable_of_the_key() -> None:
    assert server_of("codex http") == {"url": HTTP_URL, "bearer_token_env_var": "TURNLOG_API_KEY"}


@pytest.mark.parametrize("name", [name for name in snippets() if name.endswith(("stdio", "remote"))])
def test_clients_that_start_it(name: str) -> None:
    entry = server_of(name)
    assert set(entry) <= {"type", "command", "args", "env"}
    assert entry.get("type") == ("stdio" if name.split()[0] in ("vscode", "claude-code") else None)
    assert entry["command"].endswith("turnlog")
    assert entry["args"][0] == "mcp"
    if name.endswith("remote"):
        assert set(entry["env"]) == {"TURNLOG_URL", "TURNLOG_API_KEY"}
    else:
        assert entry["args"][1:] == ["--data-dir", "~/.turnlog"]


def test_the_page_names_every_tool() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)[: len(TOOLS)]
    assert set(TOOLS) <= set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
