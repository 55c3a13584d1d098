"""The client without a network: ids, turns, chunks, retries, server-sent events."""

import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from turnlog_client import ApiError, RetryPolicy, Unavailable, new_turn_id, turn
from turnlog_client.calls import checked, encode, session_path, store, store_many
from turnlog_client.chunks import CHUNK_BYTES, CHUNK_LINES, ChunkLoad, NumberedLine, chunks
from turnlog_client.retry import Attempts
from turnlog_client.sse import SseParser
from turnlog_client.transport import options


def test_turn_ids_are_uuid7_and_differ() -> None:
    ids = [new_turn_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert {(uuid.UUID(i).version, uuid.UUID(i).variant) for i in ids} == {(7, uuid.RFC_4122)}


def test_a_turn_holds_what_was_given_and_an_id() -> None:
    made = turn("user", "hi", user_id="ana", occurred_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert made.pop("turn_id")
    assert made == {"role": "user", "content": "hi", "user_id": "ana", "occurred_at": "2026-01-02T00:00:00+00:00"}
    assert turn("user", "hi", turn_id="mine")["turn_id"] == "mine"


def test_the_body_is_made_once_so_that_every_attempt_sends_the_same_id() -> None:
    call = store("s", {"role": "user", "content": "hi"}, None)
    assert call.body is not None
    assert json.loads(call.body)["turn_id"]
    many = store_many("s", [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "turn_id": "t"}], 4)
    assert many.body is not None
    assert [bool(t["turn_id"]) for t in json.loads(many.body)["turns"]] == [True, True]
    assert many.headers["if-match"] == '"v4"'


def test_session_ids_are_encoded_in_paths() -> None:
    assert session_path("a#b:c/d", "turns") == "/v1/sessions/a%23b%3Ac%2Fd/turns"


def test_text_stays_readable_and_nan_is_refused() -> None:
    assert encode({"content": "ça va? 🙂"}) == '{"content":"ça va? 🙂"}'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"x": float("nan")})


def test_chunks_are_bounded_in_lines_and_bytes_and_keep_order_and_numbers() -> None:
    lines = [b"x" * (1 + n % 7_000) for n in range(3_500)]
    made = list(chunks(lines))
    assert [line.data for chunk in made for line in chunk] == lines
    assert [line.number for chunk in made for line in chunk] == list(range(1, 3_501))
    assert all(len(chunk) <= CHUNK_LINES for chunk in made)
    assert all(sum(len(line.data) + 1 for line in chunk) <= CHUNK_BYTES for chunk in made)


def test_a_line_larger_than_a_chunk_goes_alone() -> None:
    big = b"x" * (CHUNK_BYTES + 10)
    assert [[line.number for line in chunk] for chunk in chunks([b"a", big, b"b"])] == [[1], [2], [3]]


def test_only_lines_that_failed_for_a_passing_cause_are_sent_again() -> None:
    load = ChunkLoad([NumberedLine(7, b"a"), NumberedLine(8, b"b"), NumberedLine(9, b"c")])
    failed = {"status": "failed", "error": {"code": "outcome_unknown", "message": "may or may not be stored"}}
    refused = {"status": "refused", "error": {"code": "missing_field", "message": "role: is required", "param": "role"}}
    failure = load.take([{"status": "stored", "position": 1, "version": 1}, failed, refused])
    assert failure is not None
    assert failure.outcome_unknown
    assert load.body() == b"b\n"
    assert load.take([{"status": "duplicate", "position": 2, "version": 2}]) is None
    assert load.done
    assert [(r.line, r.status, r.param) for r in load.results] == [
        (7, "stored", None),
        (8, "duplicate", None),
        (9, "refused", "role"),
    ]


def test_an_answer_with_too_few_lines_is_unknown_and_takes_none() -> None:
    load = ChunkLoad([NumberedLine(1, b"a"), NumberedLine(2, b"b")])
    failure = load.take([{"status": "stored"}])
    assert failure is not None
    assert failure.outcome_unknown
    assert load.body() == b"a\nb\n"


def test_pauses_grow_stay_jittered_and_end_at_the_deadline() -> None:
    now = [0.0]
    attempts = Attempts(RetryPolicy(total_s=10, first_s=1, last_s=4), lambda: now[0])
    pauses: list[float] = []

    def wait_for_ever() -> None:
        while True:
            pauses.append(attempts.pause_s(Unavailable("away")))
            now[0] += pauses[-1]

    with pytest.raises(Unavailable):
        wait_for_ever()
    assert all(ceiling / 2 <= pause <= ceiling for pause, ceiling in zip(pauses, (1, 2, 4, 4, 4, 4, 4), strict=False))
    assert sum(pauses) <= 10


def test_the_server_decides_the_least_pause_and_one_beyond_the_deadline_ends_it() -> None:
    attempts = Attempts(RetryPolicy(total_s=10), itertools.repeat(0.0).__next__)
    assert attempts.pause_s(Unavailable("busy", retry_after_s=3)) == 3
    with pytest.raises(Unavailable, match="busy"):
        attempts.pause_s(Unavailable("busy", retry_after_s=30))


def answer(status: int, body: Any = None, **headers: str) -> httpx.Response:
    content = json.dumps({"error": body}) if body else "<html>"
    return httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()}, text=content)


def test_errors_of_the_api_are_told_apart_by_whether_they_may_pass() -> None:
    problem = {"code": "version_mismatch", "message": "the session is at version 3", "param": "If-Match"}
    with pytest.raises(ApiError) as refused:
        checked(answer(412, problem))
    assert (refused.value.status, refused.value.code, refused.value.param) == (412, "version_mismatch", "If-Match")
    for status, unknown in ((429, False), (503, False), (504, True), (502, True)):
        with pytest.raises(Unavailable) as passing:
            checked(answer(status, problem, retry_after="7"))
        assert (passing.value.outcome_unknown, passing.value.retry_after_s) == (unknown, 7.0)
    with pytest.raises(ApiError, match="404"):
        checked(answer(404))


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_events_are_read_whatever_the_network_cuts(size: int) -> None:
    text = (
        'retry: 1000\n\nid: 4\nevent: turn\ndata: {"content":"a\u2028b"}\n\n: ping\n\nid: 5\nevent: cut\ndata: {}\n\n'
    )
    data, parser = text.encode(), SseParser()
    found = [e for at in range(0, len(data), size) for e in parser.feed(data[at : at + size])]
    assert [(e.id, e.name, e.data) for e in found] == [(4, "turn", {"content": "a\u2028b"}), (5, "cut", {})]


@pytest.mark.parametrize(
    ("url", "trusts"),
    [
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
        ("http://localhost", False),
        ("https://api.example.org", True),
    ],
)
def test_a_server_on_this_machine_is_never_asked_through_a_proxy(url: str, trusts: bool) -> None:
    assert options(url, 5)["trust_env"] is trusts
