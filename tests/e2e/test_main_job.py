"""The main job through HTTP and the command line, on a running system with real conversations."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from system import System, until
from turnlog_client import Client
from turnlog_events.tokens import count_tokens

PAGE = 500


def all_turns(client: Client, session: str, version: int) -> list[dict[str, Any]]:
    """Every turn of a session that is at `version` or later, by pages."""
    turns: list[dict[str, Any]] = []
    while page := client.turns(session, after_version=len(turns), limit=PAGE, min_version=version)["turns"]:
        turns += page
    return turns


def as_sent(turn: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """The fields of a read turn that were sent."""
    return {name: turn.get(name) for name in sent if name != "session_id"}


def test_import_stores_every_turn_once(imported: dict[str, Any], conversations: Any, system: System) -> None:
    assert (imported["stored"], imported["duplicates"], imported["refused"]) == (len(conversations.turns), 0, 0)
    again = json.loads(system.run("import", str(conversations.path), "--json").stdout)
    assert (again["stored"], again["duplicates"]) == (0, len(conversations.turns))


def test_every_turn_comes_back_in_order_and_byte_for_byte(loaded: System, conversations: Any) -> None:
    with loaded.client() as client:
        for session, sent in conversations.by_session.items():
            read = all_turns(client, session, len(conversations.by_session[session]))
            assert [turn["version"] for turn in read] == list(range(1, len(sent) + 1))
            assert [as_sent(turn, line) for turn, line in zip(read, sent, strict=True)] == [
                {name: value for name, value in line.items() if name != "session_id"} for line in sent
            ]


def test_recent_turns_are_the_newest_ones(loaded: System, conversations: Any) -> None:
    with loaded.client() as client:
        for session, sent in conversations.by_session.items():
            recent = client.turns(session, limit=20, min_version=len(sent))["turns"]
            assert [turn["content"] for turn in recent] == [turn["content"] for turn in sent[-20:]]


def texts_of(answer: dict[str, Any]) -> list[str]:
    """Every text of a context, in any format."""
    if answer["format"] == "text":
        return [answer["text"]]
    contents = [message["content"] for message in answer["messages"]] + [answer.get("system") or ""]
    return [content if isinstance(content, str) else json.dumps(content, ensure_ascii=False) for content in contents]


@pytest.mark.parametrize("form", ["openai", "anthropic", "text"])
@pytest.mark.parametrize("budget", [256, 1_000, 4_000])
def test_context_keeps_within_its_budget_and_keeps_the_newest_turn(
    loaded: System, conversations: Any, form: str, budget: int
) -> None:
    with loaded.client() as client:
        for session, sent in conversations.by_session.items():
            answer = client.context(session, max_tokens=budget, format=form, min_version=len(sent))
            assert answer["tokens"] <= budget
            assert answer["version"] == len(sent)
            texts = texts_of(answer)
            assert 0 < sum(map(count_tokens, texts)) <= budget
            if answer["covered_to"] < len(sent):
                assert sent[-1]["content"] in texts[-1] or sent[-1]["content"] in texts[-2]


def covering(client: Client, session: str, version: int) -> dict[str, Any]:
    """The summary once it covers 1..version."""

    def found() -> dict[str, Any] | None:
        answer = client.summary(session)
        return answer if answer["covered_to"] == version else None

    answer: dict[str, Any] = until(found, f"the summary of {session} covers {version}")
    return answer


def test_a_summary_asked_for_covers_what_it_says(loaded: System, conversations: Any) -> None:
    with loaded.client() as client:
        for session, sent in conversations.by_session.items():
            task = client.compress(session, wait=True)
            assert task["state"] in ("done", "skipped")
            answer = covering(client, session, len(sent))
            ranges = [(node["from_version"], node["to_version"]) for node in answer["nodes"]]
            assert ranges[0][0] == 1
            assert ranges[-1][1] == len(sent)
            assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
            assert count_tokens(answer["text"]) == answer["tokens"] <= answer["max_tokens"]
            assert answer["turn_versions"]
            turns = [json.dumps(sent[version - 1], ensure_ascii=False) for version in answer["turn_versions"]]
            said = words_of(" ".join(turns)) | {"calls", "with"}  # how a turn that calls a tool is put into words
            lines = [line.split(": ", 1)[1] for line in answer["text"].split("\n") if ": " in line]
            assert lines
            assert all(words_of(line) <= said for line in lines)


def words_of(text: str) -> set[str]:
    """The words of a text, whatever their case."""
    return set(re.findall(r"\w+", text.casefold()))


def test_export_gives_back_what_was_imported(loaded: System, conversations: Any, tmp_path: Path) -> None:
    with loaded.client() as client:
        others = {row["session_id"] for row in client.sessions()} - set(conversations.by_session)
    assert not {name for name in others if not name.startswith("e2e-")}
    chosen = [word for session in conversations.by_session for word in ("--session", session)]
    path = tmp_path / "export.jsonl"
    done = loaded.run("export", str(path), *chosen)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == conversations.turns


def test_an_export_imported_into_an_empty_system_gives_the_same_turns(
    loaded: System, conversations: Any, folder: Path
) -> None:
    path = folder / "export.jsonl"
    assert loaded.run("export", str(path)).returncode == 0
    other = System(folder / "other").start()
    try:
        report = json.loads(other.run("import", str(path), "--json").stdout)
        assert (report["duplicates"], report["refused"]) == (0, 0)
        with loaded.client() as client, other.client() as second:
            for session in conversations.by_session:
                version = len(conversations.by_session[session])
                given = [(turn["turn_id"], turn["content"]) for turn in all_turns(client, session, version)]
                read = all_turns(second, session, version)
                assert [(turn["turn_id"], turn["content"]) for turn in read] == given
    finally:
        other.stop()
