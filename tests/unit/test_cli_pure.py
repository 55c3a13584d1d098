"""The command line without servers: what is sent, what is shown, what is refused."""

import io
import json
import os
from dataclasses import replace
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import pytest

from making import mark, turn
from turnlog_bus import BusUnavailable
from turnlog_cli import addresses
from turnlog_cli.binding import free_port, url_of
from turnlog_cli.compose import is_write, merged
from turnlog_cli.demo import forget_settings
from turnlog_cli.demo_input import read_conversation
from turnlog_cli.doctor import COMPRESSOR
from turnlog_cli.errors import ADVICE, CommandError, told
from turnlog_cli.escape import json_shown, many_lines, one_line
from turnlog_cli.event_line import line_of
from turnlog_cli.exporting import hidden_ranges, is_hidden
from turnlog_cli.exporting import line_of as export_line
from turnlog_cli.importing import import_file
from turnlog_cli.lines import LINE_MAX_BYTES, Feed, with_derived_id
from turnlog_cli.progress import left
from turnlog_cli.screen import Screen
from turnlog_cli.up import told_as
from turnlog_cli.verifying import SHOWN_OF_A_KIND, few_of_each
from turnlog_cli.worker import Order, Worker
from turnlog_client import ApiError
from turnlog_compressor.compressor import CONSUMER
from turnlog_events.event import SUMMARIZED, Event, NewEvent
from turnlog_events.hashing import GENESIS
from turnlog_ingest.turn_body import turn_event
from turnlog_projector.verify import Difference
from turnlog_runtime.door_settings import is_loopback
from turnlog_runtime.settings import SettingsError, SharedSettings, check_environment


def placed(new: NewEvent, position: int = 7, version: int | None = None) -> Event:
    """An event as the log would hold it."""
    return Event(
        "main", position, new.event_id, new.tenant, new.session_id, version, new.type, new.schema_version, new.key,
        1_795_460_000_000_000, None, None, None, new.payload, new.payload_sha256, "", GENESIS,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ça va 🙂 日本", "plain, ça va 🙂 日本"),
        ("a\nb\tc\r", "a⏎ b c"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edef\u200b", "abc\\u202edef\\u200b"),
        ("\U000e0041\U000e0100", "\\U000e0041\\U000e0100"),
    ],
)
def test_nothing_that_drives_a_terminal_is_printed(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert one_line(text).isprintable()


def test_line_feeds_are_kept_where_asked() -> None:
    assert many_lines("a\nb\x1b") == "a\nb\\x1b"


def test_a_line_without_id_gets_one_from_its_content_and_number() -> None:
    line = b'{"session_id":"s","role":"user","content":"hi"}'
    made = with_derived_id(line, 4)
    assert json.loads(made) == {**json.loads(line), "turn_id": json.loads(made)["turn_id"]}
    assert with_derived_id(line, 4) == made
    assert with_derived_id(line, 5) != made
    assert with_derived_id(line + b" ", 4) != made


def test_what_the_server_checks_is_left_as_written() -> None:
    for line in (b"{broken", b"[1]", b"{}", b'{"turn_id":"t","a":1}', b"[" * 100_000):
        assert with_derived_id(line, 1) == line
    twice = b'{"role":"user","role":"system","big":1e999}'
    assert with_derived_id(twice, 1).endswith(twice[1:])
    assert json.loads(with_derived_id(b'{"turn_id":null,"a":1}', 1))["turn_id"]


def test_a_file_is_read_by_lines_with_their_own_numbers() -> None:
    data = b'\xef\xbb\xbf{"turn_id":"a"}\r\n\n   \n{"turn_id":"b"}\n{"turn_id":"c"}'
    feed = Feed(io.BytesIO(data))
    assert list(feed) == [b'{"turn_id":"a"}', b'{"turn_id":"b"}', b'{"turn_id":"c"}']
    assert list(feed.sent) == [1, 4, 5]
    assert feed.read_bytes == len(data)


def test_a_line_without_end_is_refused_without_being_held_in_memory() -> None:
    feed = Feed(io.BytesIO(b'{"turn_id":"a"}\n' + b"x" * (3 * LINE_MAX_BYTES) + b'\n{"turn_id":"b"}\n'))
    assert len(list(feed)) == 2
    assert [(r.line, r.code) for r in feed.too_long] == [(2, "line_too_long")]
    assert list(feed.sent) == [1, 3]


def test_an_event_is_shown_on_one_line() -> None:
    shown = line_of(placed(turn("default", "trip", "see\nyou\x1b[2J", name="Ana"), version=3))
    assert (shown.session, shown.who, shown.text) == ("trip", "v3 Ana", "see⏎ you\\x1b[2J")
    other = line_of(placed(turn("acme", "trip", [{"type": "text", "text": "hi"}, {"type": "image"}]), version=1))  # type: ignore[arg-type]
    assert (other.session, other.text) == ("acme/trip", "hi [image]")
    body = {"from_version": 1, "to_version": 9, "level": 1, "model": "m", "text": "long " * 200}
    summary = line_of(placed(mark("default", "trip", SUMMARIZED, "k", body)))
    assert summary.text.startswith("turns 1 to 9, level 1, by m: long")
    assert len(summary.text) == 300


def test_an_exported_line_is_the_turn_as_it_was_imported() -> None:
    payload = {"role": "user", "content": "ça\u2028", "metadata": {"n": 1.5}}
    line = export_line({"session_id": "s", "key": "t", "payload": payload})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"session_id": "s", "turn_id": "t", **payload}


def test_retracted_turns_are_known_by_session_and_range() -> None:
    retraction = {"type": "TurnsRetracted", "session_id": "s", "payload": {"from_version": 2, "to_version": 3}}
    hidden = hidden_ranges(iter([retraction, {"type": "MemoryTurnStored", "session_id": "s", "payload": {}}]))
    found = [is_hidden(hidden, {"session_id": s, "version": v}) for s, v in (("s", 1), ("s", 2), ("s", 3), ("t", 2))]
    assert found == [False, True, True, False]


@pytest.mark.parametrize(
    ("method", "path", "writes"),
    [
        ("POST", "/v1/sessions/a/turns", True),
        ("DELETE", "/v1/sessions/a/turns", True),
        ("GET", "/v1/sessions/a/turns", False),
        ("POST", "/v1/sessions/a%2Fb/compress", True),
        ("POST", "/v1/sessions/a/b/turns", False),
        ("POST", "/v1/turns", True),
        ("POST", "/tools/store_memory", True),
        ("POST", "/tools/get_recent_turns", False),
        ("POST", "/v1/logs/main", False),
    ],
)
def test_writes_and_reads_are_told_apart(method: str, path: str, writes: bool) -> None:
    assert is_write(method, path) is writes


def test_the_merged_document_has_every_path_method_and_component() -> None:
    writes: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "w"},
        "paths": {"/a": {"post": 1}, "/b": {"post": 2}},
    }
    reads: dict[str, Any] = {
        "openapi": "3.1.0", "info": {"title": "r", "version": "1"}, "paths": {"/a": {"get": 3}},
        "components": {"schemas": {"X": 1}},
    }  # fmt: skip
    document = merged(writes, reads)
    assert document["paths"] == {"/a": {"post": 1, "get": 3}, "/b": {"post": 2}}
    assert document["components"] == {"schemas": {"X": 1}}
    assert document["info"] == {"title": "Turnlog", "version": "1"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_may_be_listened_on(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "2001:db8::1", "example.org", "", "127.0.0.1.example.org"]
)
def test_every_other_host_is_one_that_others_may_reach(host: str) -> None:
    assert not is_loopback(host)


def test_a_taken_port_is_refused_and_zero_finds_a_free_one() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(CommandError, match="is taken"):
            free_port("127.0.0.1", taken.getsockname()[1])
        assert free_port("127.0.0.1", 0) > 0
    assert url_of("::1", 80) == "http://[::1]:80"
    assert (url_of("0.0.0.0", 80), url_of("::", 80)) == ("http://127.0.0.1:80", "http://[::1]:80")


def written(folder: Path, pid: int) -> addresses.Addresses:
    (folder / "run").mkdir()
    made = addresses.Addresses(
        pid, "http://127.0.0.1:9", "postgresql://app", "postgresql://owner", "nats://n", "redis://r"
    )
    assert addresses.write(folder, made).stat().st_mode & 0o777 == 0o600
    return made


def test_addresses_are_private_and_count_only_while_their_process_lives(tmp_path: Path) -> None:
    made = written(tmp_path, os.getpid())
    assert addresses.running_in(tmp_path) == replace(made, started=addresses.started_at(os.getpid()))
    addresses.path_in(tmp_path).write_text(
        addresses.path_in(tmp_path).read_text().replace(str(os.getpid()), str(2**22 + 1))
    )
    assert addresses.running_in(tmp_path) is None
    addresses.path_in(tmp_path).write_text("{half")
    assert addresses.running_in(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel does not tell when a process started")
def test_a_later_process_with_the_same_number_is_not_the_one_that_wrote_the_addresses(tmp_path: Path) -> None:
    written(tmp_path, os.getpid())
    path = addresses.path_in(tmp_path)
    kept = json.loads(path.read_text())
    assert kept["started"] > 0
    path.write_text(json.dumps(kept | {"started": kept["started"] - 1}))
    assert addresses.running_in(tmp_path) is None
    assert addresses.left_in(tmp_path) is not None


def test_addresses_come_from_settings_first_and_an_owner_only_with_its_own_database(tmp_path: Path) -> None:
    written(tmp_path, os.getpid())
    own = addresses.servers(SharedSettings(), tmp_path)
    assert (own.database_url, own.database_owner_url, own.nats_url) == (
        "postgresql://app",
        "postgresql://owner",
        "nats://n",
    )
    given = SharedSettings(database_url="postgresql://elsewhere")  # type: ignore[arg-type]
    other = addresses.servers(given, tmp_path)
    assert (other.database_url, other.database_owner_url) == ("postgresql://elsewhere",) * 2
    with pytest.raises(CommandError, match="start `turnlog up`"):
        addresses.servers(SharedSettings(), tmp_path / "nothing")


def test_an_address_that_is_none_and_a_file_that_is_not_there_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="give one like http"):
        addresses.api("ftp://x", tmp_path)
    with pytest.raises(CommandError, match="cannot be read"):
        import_file(str(tmp_path / "absent.jsonl"), addresses.Api("http://127.0.0.1:1"), Screen())


def test_the_local_key_is_shown_to_the_local_api_alone_and_one_that_is_given_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(tmp_path, os.getpid())
    addresses.write(tmp_path, replace(made, api_key="tl_local"))
    assert addresses.api(None, tmp_path) == addresses.Api(made.url, "tl_local")
    assert addresses.api(made.url + "/", tmp_path).key == "tl_local"
    assert addresses.api("http://elsewhere.test", tmp_path).key is None
    monkeypatch.setenv("TURNLOG_API_KEY", "tl_given")
    assert addresses.api("http://elsewhere.test", tmp_path).key == "tl_given"
    assert addresses.api(None, tmp_path).key == "tl_given"
    assert "tl_local" not in repr(addresses.left_in(tmp_path))


def test_variables_of_the_embedded_servers_and_the_client_are_known() -> None:
    check_environment({f"TURNLOG_{n}": "x" for n in ("POSTGRES_BIN", "NATS_BIN", "VALKEY_BIN", "URL")})
    with pytest.raises(SettingsError, match="did you mean TURNLOG_NATS_BIN"):
        check_environment({"TURNLOG_NAT_BIN": "x"})


def test_the_demo_forgets_every_address_of_another_turnlog() -> None:
    environment = {
        "TURNLOG_DATABASE_URL": "a",
        "DATABASE_URL": "b",
        "TURNLOG_LOG": "c",
        "TURNLOG_NATS_BIN": "d",
        "PATH": "e",
    }
    forget_settings(environment)
    assert environment == {"TURNLOG_NATS_BIN": "d", "PATH": "e"}


def test_every_line_of_the_sample_is_a_turn_and_its_halves_make_it_whole() -> None:
    sample = read_conversation(None)
    data = resources.files("turnlog_cli").joinpath("sample.jsonl").read_bytes().splitlines()
    for line in data:
        fields = json.loads(line)
        turn_event("default", fields.pop("session_id"), fields, None)
    first, second = sample.halves()
    assert [*first, *second] == data
    assert min(len(first), len(second)) >= 20


def test_a_file_that_is_no_conversation_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"session_id":"s","role":"user","content":"a"}\n{"role":"user"}\n')
    with pytest.raises(CommandError, match="line 2 is not in import format"):
        read_conversation(path)


def test_the_checkpoint_asked_for_is_the_compressors() -> None:
    assert COMPRESSOR == CONSUMER


def test_time_left_is_told_when_it_can_be() -> None:
    assert left(250, 1_000, 10.0) == ", 25 %, 30 s left"
    assert left(1, 1_000, 1.0) == ", 0 %, 17 min left"
    assert (left(0, 1_000, 1.0), left(5, None, 1.0)) == ("", "")


def test_what_ends_is_said_with_its_cause_and_its_last_words() -> None:
    facts = {"name": "projector", "status": -9, "pause_s": 0.5, "last_words": "boom"}
    assert "projector was ended by SIGKILL, started again in 0.5 s: boom" in str(told_as("died", facts))
    assert "postgres" not in str(told_as("server_back", {"name": "postgres"}))
    assert told_as("migrated", {"before": "1", "after": "1"}) is None


def test_few_differences_of_each_kind_are_shown() -> None:
    many = [Difference("behind", f"partition {n}", "5", "0") for n in range(50)]
    shown = few_of_each([*many, Difference("payload hash", "main:3", "a", "b")])
    assert len(shown) == SHOWN_OF_A_KIND + 1
    assert shown[-1].what == "payload hash"


def test_errors_of_our_libraries_end_a_command_with_advice_and_defects_do_not() -> None:
    end = told(ExceptionGroup("tasks", [BusUnavailable("NATS is away")]))
    assert end is not None
    assert "turnlog doctor" in str(end)
    assert told(ValueError("a defect")) is None


@pytest.mark.parametrize("name", sorted(ADVICE))
def test_every_error_with_advice_exists_and_has_that_name_when_it_is_raised(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(import_module(module), kind)
    assert issubclass(found, Exception)
    assert f"{found.__module__}.{found.__qualname__}" == name


@pytest.mark.parametrize(("status", "said"), [(401, "TURNLOG_API_KEY"), (403, "--scope"), (404, "no such")])
def test_an_api_that_refuses_a_credential_is_told_with_what_to_do(status: int, said: str) -> None:
    end = told(ApiError(status, "code", "no such"))
    assert end is not None
    assert said in str(end)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "é ü 漢字 🙂",
        "\x1b[31m\x9b2J\x7f",
        "a\u202eb\u200b\u2028",
        "\U000e0041\U000e0101\u3164",
    ],
)
def test_json_that_is_shown_is_the_same_json_without_anything_invisible(text: str) -> None:
    raw = json.dumps({text: [text]}, ensure_ascii=False)
    shown = json_shown(raw)
    assert json.loads(shown) == {text: [text]}
    assert all(char.isprintable() for char in shown)
    assert json_shown(raw + "\n" + raw) == shown + "\n" + shown
    if text.isprintable() and "\U000e0101" not in text:
        assert shown == raw


@pytest.mark.parametrize("char", ["\u3164", "\u115f", "\u2800", "\u034f", "\U000e0101", "\U000e0041"])
def test_what_is_invisible_is_shown_as_an_escape(char: str) -> None:
    assert one_line(f"a{char}b").isascii()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ('{"event":"stopping","level":"info"}\n', ""),
        ('{"event":"commit_failed","level":"error"}\n', "commit_failed"),
        ("Traceback (most recent call last):\nOSError: [Errno 98] in use\n", "OSError: [Errno 98] in use"),
        (
            "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: unhandled (1 sub-exception)\n"
            "  +-+---------------- 1 ----------------\n    | OSError: [Errno 98] in use\n    +------------------\n",
            "OSError: [Errno 98] in use",
        ),
        ("", ""),
    ],
)
def test_the_last_words_of_a_process_are_its_error_also_out_of_a_group(tmp_path: Path, log: str, words: str) -> None:
    path = tmp_path / "api.log"
    path.write_text(log)
    assert Worker(Order("api", "module", {}, path), lambda event, **facts: None).last_words() == words
