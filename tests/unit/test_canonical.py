"""Canonical JSON: the fast way and the RFC 8785 package give the same bytes, and what cannot be canonical is named."""

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.canonical import canonical
from turnlog_events.errors import InvalidField

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not 2**53 <= abs(x) < 1e21)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | FLOATS
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_reading_canonical_bytes_and_writing_them_again_changes_nothing(value: Any) -> None:
    data = canonical(value)
    assert canonical(json.loads(data)) == data


def test_keys_are_ordered_by_utf16_not_by_code_point() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("value", "field", "code"),
    [
        ({"a": "x\0y"}, "a", "nul_character"),
        ({"a": ["ok", {"b": "\ud800"}]}, "a.1.b", "lone_surrogate"),
        ({"a\0": 1}, "body", "nul_character"),
        ({"a": 2**53}, "a", "integer_range"),
        ({"a": 2.0**53}, "a", "integer_range"),
        ({"a": -(2**60)}, "a", "integer_range"),
        ({"a": {"b": math.nan}}, "a.b", "not_finite"),
        ([math.inf], "0", "not_finite"),
    ],
)
def test_what_cannot_be_canonical_is_refused_by_place_and_reason(value: Any, field: str, code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        canonical(value)
    assert (caught.value.field, caught.value.code) == (field, code)


def test_the_text_backslash_u0000_is_no_nul_character() -> None:
    assert canonical({"a": "\\u0000"}) == b'{"a":"\\\\u0000"}'
