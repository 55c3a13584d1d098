"""Canonical JSON (RFC 8785): one value, one byte string, so that a hash of the bytes is a hash of the value.

orjson with sorted keys gives the same bytes several times faster whenever a value holds no float and no key beyond
the Basic Multilingual Plane (RFC 8785 orders keys by UTF-16 code units, orjson by UTF-8 bytes). Those two cases go
to the `rfc8785` package. `tests/unit/test_canonical.py` holds the two to each other.
"""

from typing import Any

import orjson
import rfc8785

from turnlog_events.errors import InvalidField

INTEGER_LIMIT = 2**53


def canonical(value: Any, field: str = "") -> bytes:
    """The RFC 8785 bytes of a JSON value.

    Raises `InvalidField` (naming the place below `field`) for lone surrogates, integers beyond ±(2^53 − 1),
    NaN and infinities, and NUL characters in any string or key.
    """
    try:
        if _is_plain(value):
            data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        elif found := _located(value, field):
            raise found
        else:
            data = rfc8785.dumps(value)
    except (
        orjson.JSONEncodeError,
        rfc8785.CanonicalizationError,
        UnicodeEncodeError,
        RecursionError,
    ) as error:
        unclear = InvalidField(field or "body", f"is not JSON: {error}", "invalid_json")
        raise _located(value, field) or unclear from error
    if b"\\u0000" in data and (found := _located(value, field)):
        raise found
    return data


def _is_plain(value: Any) -> bool:
    """Whether orjson's bytes are RFC 8785's: no float, no key beyond U+D7FF, integers in range."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if isinstance(value, dict):
        return all((k.isascii() or max(k) < "\ud800") and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, int):
        return -INTEGER_LIMIT < value < INTEGER_LIMIT
    return False


def _located(value: Any, field: str) -> InvalidField | None:
    """The first thing in `value` that canonical JSON refuses, with its path; None when there is none."""
    if isinstance(value, str):
        return _bad_text(value, field)
    if isinstance(value, dict):
        for key, item in value.items():
            if found := _bad_text(key, field) or _located(item, f"{field}.{key}" if field else key):
                return found
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if found := _located(item, f"{field}.{index}" if field else str(index)):
                return found
    elif _is_beyond_integers(value):
        fix = "integers must lie within ±(2^53 − 1); send larger ones as text"
        return InvalidField(field or "body", fix, "integer_range")
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return InvalidField(field or "body", "must be a finite number", "not_finite")
    return None


def _is_beyond_integers(value: Any) -> bool:
    """Whether canonical JSON would write `value` as an integer that other parsers cannot hold. That is so for
    floats too: RFC 8785 writes 2^53 as 9007199254740992, and from 10^21 on with an exponent."""
    if isinstance(value, float):
        return INTEGER_LIMIT <= abs(value) < 1e21
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= INTEGER_LIMIT


def _bad_text(text: str, field: str) -> InvalidField | None:
    if "\0" in text:
        return InvalidField(field or "body", "must not hold NUL characters (U+0000); remove them", "nul_character")
    try:
        text.encode()
    except UnicodeEncodeError:
        place = field.encode(errors="replace").decode() or "body"
        return InvalidField(place, "holds a lone surrogate (\\ud800 to \\udfff); send valid Unicode", "lone_surrogate")
    return None
