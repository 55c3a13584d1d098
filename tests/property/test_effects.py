"""Token counts and effects of many at once are those of each alone."""

import orjson
import pytest
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st

from turnlog_events import event as ev
from turnlog_events.canonical import canonical
from turnlog_events.effects import AddTurn, effect_of, effects_of
from turnlog_events.event import Event
from turnlog_events.payloads import CompressionRequested, MemorySummarized, TurnsRetracted
from turnlog_events.tokens import count_tokens, count_tokens_many, load
from turnlog_events.turn_view import turn_tokens, view_of

PUBLISHED_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
PIECES = [
    *("<|endoftext|>", "\0", "\n", "\r\n", " ", "   ", "\t", "\u00a0", "\u2028", "\u3000", "\x1c", "\x85"),
    *(
        "a",
        "Hello",
        "don't",
        "'LL",
        "'ſ",
        "é",
        "e\u0301",
        "ß",
        "日本",
        "\U0001f600",
        "\U0001f468\u200d\U0001f469",
        "٣",
        "½",
    ),
    *("1234567", "!", "?!\n\n", "'", '{"a":[1,2]}', "_", "\u200b", "ǅ"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=20).map("".join)


@pytest.fixture(scope="module")
def published() -> tiktoken.Encoding:
    ranks = load()._mergeable_ranks
    return tiktoken.Encoding("published", pat_str=PUBLISHED_PATTERN, mergeable_ranks=ranks, special_tokens={})


@given(text=TEXTS)
def test_the_pattern_splits_as_the_published_one(published: tiktoken.Encoding, text: str) -> None:
    assert load().encode_ordinary(text) == published.encode_ordinary(text)


@given(st.lists(TEXTS, max_size=12))
@example([])
@example([""])
@example(["", "", ""])
@example(["<|endoftext|>", "a\n", "\n a ", " "])
@example(["a\0", "\0b", "\0"])
def test_many_texts_count_as_each_alone(texts: list[str]) -> None:
    assert count_tokens_many(texts) == [count_tokens(text) for text in texts]


JSON = st.recursive(
    TEXTS.map(lambda text: text.replace("\0", "")), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
TURNS = st.fixed_dictionaries(
    {"role": st.just("user"), "content": JSON},
    optional={
        "name": st.sampled_from(["ann", "日"]),
        "agent_id": st.just("a"),
        "user_id": st.just("u"),
        "tool_calls": st.just([{"id": "1", "function": {"name": "f"}}]),
    },
).map(lambda turn: (ev.TURN_STORED, turn))
OTHERS = st.sampled_from(
    [
        (ev.TURNS_RETRACTED, TurnsRetracted(2, 3).to_json()),
        (ev.SUMMARIZED, MemorySummarized(1, 2, 1, 1, "text", (), "m", "p", 5, 2).to_json()),
        (ev.COMPRESSION_REQUESTED, CompressionRequested("t", 4).to_json()),
    ]
)


def an_event(position: int, type_name: str, payload: dict[str, object]) -> Event:
    data = canonical(payload)
    version = position if type_name == ev.TURN_STORED else None
    return Event(
        "main", position, "e", "t", "s", version, type_name, 1, "k", position, None, None, None, data, b"", "", b""
    )


@given(st.lists(TURNS | OTHERS, max_size=8))
def test_effects_of_many_are_those_of_each_alone(made: list[tuple[str, dict[str, object]]]) -> None:
    events = [an_event(position, *what) for position, what in enumerate(made, 1)]
    effects = effects_of(events)
    assert effects == [effect_of(event) for event in events]
    for event, effect in zip(events, effects, strict=True):
        assert isinstance(effect, AddTurn) == (event.type == ev.TURN_STORED)
        if isinstance(effect, AddTurn):
            assert effect.tokens == turn_tokens(orjson.loads(event.payload))
            assert effect.view == view_of(event)
