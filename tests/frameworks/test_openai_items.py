"""Items of the OpenAI Agents SDK as turns and back: exactly, in turns that the server takes. No server is needed."""

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses.response_input_item_param import ResponseInputItemParam

from turnlog_client.frameworks.openai_agents.items import entries_of, turns_of
from turnlog_events.event import NewEvent
from turnlog_ingest.turn_body import turn_event


def stored(turns: list[dict[str, Any]], first: int = 1) -> list[dict[str, Any]]:
    """The turns as the server would take them and give them back. Raises what it would refuse them with."""
    found = []
    for version, turn in enumerate(turns, first):
        event: NewEvent = turn_event("t", "s", json.loads(json.dumps(turn)), None)
        found.append({"version": version, **json.loads(event.payload)})
    return found


def exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def round_trip(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of an item, after it was read back from them exactly."""
    turns = stored(turns_of(item))
    (entry,) = entries_of(turns)
    assert [exact(found) for found in entry.items] == [exact(item)]
    assert (entry.from_version, entry.to_version) == (1, len(turns))
    return turns


def shown(item: dict[str, Any]) -> dict[str, Any]:
    """What the turn of an item says, without what stands beside it."""
    (turn,) = round_trip(item)
    return {key: value for key, value in turn.items() if key not in ("version", "metadata")}


SPOKEN = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Friday.", "annotations": [], "logprobs": []},
        {"type": "output_text", "text": "At nine.", "annotations": []},
    ],
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"x":1}',
    "status": "completed",
}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}


def test_what_was_said_is_what_the_turn_shows() -> None:
    assert shown({"role": "user", "content": "When?"}) == {"role": "user", "content": "When?"}
    assert shown({"role": "developer", "content": "Be brief."}) == {"role": "system", "content": "Be brief."}
    texts = [{"type": "text", "text": "Friday."}, {"type": "text", "text": "At nine."}]
    assert shown(SPOKEN) == {"role": "assistant", "content": texts}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
    assert shown(CALL) == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert shown(RESULT) == {"role": "tool", "content": "sunny", "tool_call_id": "call_1"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "It is May."}]}
    assert shown(thought) == {"role": "assistant", "content": "[reasoning] It is May."}


def test_what_the_turn_says_is_kept_once() -> None:
    (said,) = round_trip({"role": "user", "content": "x" * 100_000})
    assert "metadata" not in said
    (told,) = round_trip(RESULT)
    assert "metadata" not in told
    long = {**SPOKEN, "content": [{"type": "output_text", "text": "y" * 100_000, "annotations": []}]}
    (spoken,) = round_trip(long)
    assert len(json.dumps(spoken)) < 101_000


def test_a_turn_that_somebody_else_stored_is_read_as_it_says() -> None:
    function = {"name": "look", "arguments": "{}"}
    turns = [
        {"version": 1, "role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
        {
            "version": 2,
            "role": "assistant",
            "content": "b",
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"version": 3, "role": "tool", "content": "d", "tool_call_id": "c"},
        {"version": 4, "role": "tool", "content": "e"},
    ]
    assert [entry.items for entry in entries_of(turns)] == [
        [{"role": "user", "content": "a\n[image]"}],
        [{"role": "assistant", "content": "b"}, {"type": "function_call", "call_id": "c", **function}],
        [{"type": "function_call_output", "call_id": "c", "output": "d"}],
        [{"role": "user", "content": "e"}],
    ]


def kinds() -> list[str]:
    """Every `type` that an item of the installed SDK can have."""
    found = set()
    for member in typing.get_args(ResponseInputItemParam):
        hint = typing.get_type_hints(member, include_extras=True).get("type")
        for part in typing.get_args(hint) if hint else ():
            found |= (
                {part} if isinstance(part, str) else set(filter(lambda a: isinstance(a, str), typing.get_args(part)))
            )
    return sorted(found)


@pytest.mark.parametrize("kind", kinds())
def test_every_type_of_item_comes_back(kind: str) -> None:
    assert len(kinds()) > 20
    item = {
        "type": kind,
        "id": "i_1",
        "call_id": "call_1",
        "status": "completed",
        "deep": {"list": [1, 2.5, None, True, ""]},
    }
    round_trip(item)
    round_trip(
        {**item, "role": "user", "content": "hello", "output": [{"type": "input_text", "text": "z"}, {"image": "…"}]}
    )
    round_trip(
        {**item, "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64," + "A" * 400_000}}
    )


@pytest.mark.parametrize(
    "text", ["", "\0", "a\0b", "\ud800", "🙂 日本 \u2028", "x" * 20_000 + "\0", '"\\' * 60_000, "z" * 600_000]
)
def test_any_text_comes_back(text: str) -> None:
    round_trip({"role": "user", "content": text})
    round_trip({**CALL, "arguments": text})
    round_trip({**RESULT, "output": text})
    round_trip({**SPOKEN, "content": [{"type": "output_text", "text": text}, {"type": "refusal", "refusal": text}]})


def test_what_canonical_json_would_change_comes_back_unchanged() -> None:
    for value in (1.0, 2**53, -(2**60), 1e22, [1.0], {"b": 1, "a": 1.0}):
        round_trip({"type": "custom", "value": value})


def test_pieces_show_nothing_and_stand_before_their_item() -> None:
    turns = round_trip({"type": "image_generation_call", "id": "ig_1", "result": "".join(map(chr, range(32, 20_032)))})
    assert len(turns) > 2
    assert all(turn["content"] == [{"type": "text", "text": ""}] for turn in turns[:-1])
    assert entries_of(turns[1:]) == []
    assert entries_of(turns[:-1]) == []


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=30)
)
KEYS = st.sampled_from(
    ["type", "role", "content", "output", "text", "call_id", "arguments", "name", "input", "summary"]
) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=6),
    st.sampled_from(["", "message", "function_call", "function_call_output", "reasoning"]),
)
def test_any_json_object_comes_back(item: dict[str, Any], kind: str) -> None:
    round_trip({**item, "type": kind} if kind else item)


def test_what_is_no_json_is_refused_before_anything_is_stored() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        turns_of({"role": "user", "content": float("nan")})
    with pytest.raises(TypeError):
        turns_of({"role": "user", "content": object()})
