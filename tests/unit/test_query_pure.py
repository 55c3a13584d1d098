"""The pure parts of the read API: tags, cursors, what summaries cover, bodies of tools, states of tasks."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events import event as ev
from turnlog_events.errors import InvalidField
from turnlog_events.event import Event
from turnlog_events.fold import SummaryNode
from turnlog_query.coverage import coverage_of, covered_to
from turnlog_query.cursor import ForeignCursor, decode_cursor, encode_cursor
from turnlog_query.etag import etag_of, matches
from turnlog_query.fast_turns import plain_limit
from turnlog_query.tasks import task_fields
from turnlog_query.tools import tool_call

# --- tags -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ['"v3.s1"', 'W/"v3.s1"', "*", '"v1.s0", "v3.s1"', '"x",W/"v3.s1"'])
def test_a_header_that_names_the_tag_matches(header: str) -> None:
    assert matches(header, etag_of(3, 1))


@pytest.mark.parametrize("header", ["", "v3.s1", '"v3.s10"', '"v3"', '"v3.s1', '"v13.s1"'])
def test_another_header_does_not_match(header: str) -> None:
    assert not matches(header, etag_of(3, 1))


# --- cursors --------------------------------------------------------------------------------------------------

ids = st.text(alphabet="abcXYZ019._:@+-#", min_size=1, max_size=200)
filters = st.fixed_dictionaries({"agent_id": st.none() | ids, "user_id": st.none() | ids})


@given(st.integers(0, 2**63 - 1), ids, filters)
def test_a_cursor_comes_back_as_its_position(position: int, tenant: str, of: dict[str, str | None]) -> None:
    assert decode_cursor(encode_cursor(position, tenant, of), tenant, of) == position


@given(st.integers(0, 2**63 - 1), ids, ids, filters, filters)
def test_a_cursor_of_another_list_is_refused(
    position: int, tenant: str, other: str, of: dict[str, str | None], of_other: dict[str, str | None]
) -> None:
    cursor = encode_cursor(position, tenant, of)
    if (tenant, of) != (other, of_other):
        with pytest.raises(ForeignCursor):
            decode_cursor(cursor, other, of_other)


@given(st.text(max_size=80))
def test_garbage_is_no_cursor(cursor: str) -> None:
    with pytest.raises(ForeignCursor):
        decode_cursor(cursor, "t", {})


@given(st.integers(0, 2**62), st.integers(0, 22), st.sampled_from("ABCxyz019-_"))
def test_a_cursor_with_one_letter_changed_is_refused_or_the_same(position: int, at: int, letter: str) -> None:
    cursor = encode_cursor(position, "t", {})
    changed = cursor[:at] + letter + cursor[at + 1 :]
    if changed == cursor:
        return
    try:
        found = decode_cursor(changed, "t", {})
    except ForeignCursor:
        return
    assert encode_cursor(found, "t", {}) == changed


# --- coverage -------------------------------------------------------------------------------------------------


def node(start: int, end: int) -> SummaryNode:
    return SummaryNode(start, end, 1, 1, b"{}")


@pytest.mark.parametrize(
    ("nodes", "hidden", "reach"),
    [
        ([], [], 0),
        ([node(1, 10)], [], 10),
        ([node(1, 10), node(11, 30)], [], 30),
        ([node(1, 10), node(21, 30)], [], 10),
        ([node(2, 10)], [], 0),
        ([node(2, 10)], [(1, 1)], 10),
        ([node(1, 10), node(21, 30)], [(11, 20)], 30),
        ([node(1, 10), node(21, 30)], [(16, 20), (11, 15)], 30),
        ([node(1, 10), node(21, 30)], [(11, 19)], 10),
        ([node(1, 10), node(21, 30)], [(5, 25)], 30),
    ],
)
def test_the_summary_covers_versions_from_1_without_a_hole(
    nodes: list[SummaryNode], hidden: list[tuple[int, int]], reach: int
) -> None:
    assert covered_to(nodes, hidden) == reach


def test_a_summary_after_a_hole_is_not_served() -> None:
    body = {
        "event_id": "e",
        "position": 7,
        "recorded_at": "2026-11-23T18:47:20.000123Z",
        "from_version": 1,
        "to_version": 2,
        "level": 1,
        "revision": 1,
        "text": "Ana: tea",
        "lines": [[2, 1.0, "tea", "Ana", ""]],
        "model": "m",
        "prompt_version": "p",
        "tokens_in": 9,
        "tokens_out": 2,
        "sources": [],
    }
    first = SummaryNode(1, 2, 1, 1, orjson.dumps(body))
    coverage = coverage_of([first, node(4, 9)], [])
    assert coverage.to_version == 2
    assert coverage.composer()(100).text == "Ana: tea"
    (lineage,) = coverage.lineage()
    assert lineage["made_at"] == body["recorded_at"]
    assert (lineage["event_id"], lineage["model"], lineage["tokens_in"]) == ("e", "m", 9)
    assert "lines" not in lineage


# --- the short cut --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "limit"), [(b"", 20), (b"limit=1", 1), (b"limit=1000", 1000), (b"limit=007", 7)])
def test_a_plain_limit_takes_the_short_cut(query: bytes, limit: int) -> None:
    assert plain_limit(query) == limit


@pytest.mark.parametrize(
    "query",
    [
        b"limit=0",
        b"limit=-1",
        b"limit=1001",
        b"limit=1000000000",
        b"limit=",
        b"limit=x",
        b"limit=1&x=2",
        b"Limit=1",
        "limit=²".encode(),
        b"limit=%31",
        b"min_version=3",
        b"limit=+1",
    ],
)
def test_anything_else_goes_to_the_documented_route(query: bytes) -> None:
    assert plain_limit(query) == 0


# --- bodies of tools ------------------------------------------------------------------------------------------


def test_without_a_session_the_agents_own_is_read() -> None:
    call = tool_call(b'{"agent_id":"ann"}', takes_limit=True)
    assert (call.session_id, call.own, call.limit) == ("~agent.ann", True, 20)


def test_a_named_session_is_read() -> None:
    call = tool_call(b'{"agent_id":"ann","session_id":"s","limit":3}', takes_limit=True)
    assert (call.session_id, call.own, call.limit) == ("s", False, 3)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (b"{}", "agent_id", "missing_field"),
        (b"[]", "body", "wrong_type"),
        (b'{"agent_id":1}', "agent_id", "wrong_type"),
        (b'{"agent_id":"a b"}', "agent_id", "invalid_id"),
        (b'{"agent_id":"a","session_id":"a/b"}', "session_id", "invalid_id"),
        (b'{"agent_id":"a","session_id":7}', "session_id", "wrong_type"),
        (b'{"agent_id":"a","limit":0}', "limit", "out_of_range"),
        (b'{"agent_id":"a","limit":1001}', "limit", "out_of_range"),
        (b'{"agent_id":"a","limit":true}', "limit", "invalid_integer"),
        (b'{"agent_id":"a","limit":"5"}', "limit", "invalid_integer"),
        (b'{"agent_id":"a","tenant":"x"}', "tenant", "unknown_field"),
        (b'{"agent_id":"a","agent_id":"b"}', "agent_id", "duplicate_key"),
        (b'{"agent_id":', "body", "malformed_json"),
    ],
)
def test_a_wrong_body_names_the_field(body: bytes, field: str, code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        tool_call(body, takes_limit=True)
    assert (caught.value.field, caught.value.code) == (field, code)


def test_compressed_memory_takes_no_limit() -> None:
    with pytest.raises(InvalidField, match="limit"):
        tool_call(b'{"agent_id":"a","limit":5}', takes_limit=False)


# --- tasks ----------------------------------------------------------------------------------------------------


def event(type_name: str, body: Mapping[str, object]) -> Event:
    payload = orjson.dumps(body)
    return Event(
        "main", 7, "e", "t", "s", None, type_name, 1, "k", 1_000_000, None, "task", None, payload, b"", "", b""
    )


REQUESTED = event(ev.COMPRESSION_REQUESTED, {"task_id": "task", "up_to_version": 9})
SUMMARY = {"from_version": 1, "to_version": 9, "level": 1, "revision": 1}


def test_a_task_nobody_took_up_is_queued() -> None:
    assert task_fields("task", REQUESTED, [REQUESTED], False)["state"] == "queued"


def test_a_task_taken_up_is_running() -> None:
    fields = task_fields("task", REQUESTED, [REQUESTED], True)
    assert (fields["state"], fields["ended_at"]) == ("running", None)


def test_a_task_is_done_when_its_summary_stands() -> None:
    ended = event(ev.SUMMARIZED, {**SUMMARY, "task_id": "task"})
    fields = task_fields("task", REQUESTED, [REQUESTED, ended], True)
    assert fields["state"] == "done"
    assert fields["summary"] == {"event_id": "e", "position": 7, **SUMMARY}
    assert fields["ended_at"] == "1970-01-01T00:00:01.000000Z"


def test_a_summary_on_the_way_does_not_end_the_task() -> None:
    step = event(ev.SUMMARIZED, SUMMARY)
    assert task_fields("task", REQUESTED, [REQUESTED, step], True)["state"] == "running"


@pytest.mark.parametrize(
    ("type_name", "state"), [(ev.COMPRESSION_FAILED, "failed"), (ev.COMPRESSION_SKIPPED, "skipped")]
)
def test_a_task_that_ended_otherwise_says_why(type_name: str, state: str) -> None:
    ended = event(type_name, {"task_id": "task", "reason": "nothing to do"})
    fields = task_fields("task", REQUESTED, [REQUESTED, ended], False)
    assert (fields["state"], fields["reason"]) == (state, "nothing to do")
