"""Strict JSON: ordinary JSON passes unchanged, and each trap of the standard parser is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events.errors import InvalidField
from turnlog_events.strict_json import ForeignEncoding, MalformedJson, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_ordinary_json_is_read_as_the_standard_parser_reads_it(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("data", "error", "code"),
    [
        (b'{"a":1,"a":1}', InvalidField, "duplicate_key"),
        (b'{"x":[{"a":1,"b":2,"a":3}]}', InvalidField, "duplicate_key"),
        (b'{"a":NaN}', InvalidField, "not_finite"),
        (b'{"a":-Infinity}', InvalidField, "not_finite"),
        (b'{"a":1e999}', InvalidField, "not_finite"),
        (b'{"a":' + b"9" * 5000 + b"}", MalformedJson, "integer_too_long"),
        (b"[" * 100_000 + b"]" * 100_000, MalformedJson, "nesting_too_deep"),
        ('{"a":1}'.encode("utf-16"), ForeignEncoding, "unsupported_encoding"),
        ('{"a":1}'.encode("utf-16-le"), ForeignEncoding, "unsupported_encoding"),
        ('{"a":1}'.encode("utf-32-be"), ForeignEncoding, "unsupported_encoding"),
        (b'{"a":"\xff"}', MalformedJson, "malformed_json"),
        (b'{"a":1', MalformedJson, "malformed_json"),
        (b"", MalformedJson, "malformed_json"),
    ],
)
def test_traps_are_refused(data: bytes, error: type[Exception], code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse(data)
    assert type(caught.value) is error
    assert caught.value.code == code


def test_a_duplicate_key_is_named() -> None:
    with pytest.raises(InvalidField, match="role"):
        parse(b'{"role":"user","role":"tool"}')
