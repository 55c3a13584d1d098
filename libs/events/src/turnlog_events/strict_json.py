"""Strict JSON in: what the standard parser lets through is refused with the field or the fix named.

Refused: other encodings than UTF-8, duplicate keys, NaN and infinities (also `1e999`), integers of absurd length,
nesting deeper than the parser's stack. Called wherever bytes of a client are read.
"""

import json
from typing import Any, NoReturn

from turnlog_events.errors import InvalidField

DEPTH_LIMIT = 200
INTEGER_DIGITS_LIMIT = 100


class MalformedJson(InvalidField):
    """The bytes are not JSON at all (HTTP 400), as against JSON that is refused (HTTP 422)."""


class ForeignEncoding(InvalidField):
    """The bytes are JSON in another encoding than UTF-8 (HTTP 415)."""


def parse(data: bytes, field: str = "body") -> Any:
    """The JSON value in `data`; `field` is what errors call the whole of it.

    Raises `ForeignEncoding`, `MalformedJson` or `InvalidField`.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(data) > 1 and 0 in data[:2]):
        raise ForeignEncoding(field, "must be UTF-8", "unsupported_encoding")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedJson(field, f"is not UTF-8 at byte {error.start}", "malformed_json") from None
    try:
        return _DECODER.decode(text)
    except InvalidField as error:
        raise type(error)(error.field or field, error.fix, error.code) from None
    except RecursionError:
        raise MalformedJson(field, "is nested too deeply", "nesting_too_deep") from None
    except json.JSONDecodeError as error:
        raise MalformedJson(field, f"is not JSON: {error.msg} at character {error.pos}", "malformed_json") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InvalidField(key, "appears twice in one object; send it once", "duplicate_key")
            seen.add(key)
    return value


def _integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_LIMIT:
        raise MalformedJson("", f"holds an integer of {len(digits)} digits", "integer_too_long")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidField("", "holds a number beyond a double; send a smaller one, or text", "not_finite")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidField("", f"holds {name}; send a finite number or null", "not_finite")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
