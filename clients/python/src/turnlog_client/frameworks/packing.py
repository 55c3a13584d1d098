"""What is no text in a turn: any JSON value kept exactly, and bytes packed into pieces that fit a turn. Pure.

Turnlog keeps canonical JSON: it refuses NUL characters, lone surrogates and integers beyond 2^53, and does not keep the
order of keys nor the difference between 1 and 1.0. What a framework hands over may hold any of them.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

INTEGER_LIMIT = 2**53
NESTING_MAX = 100
REQUEST_TURNS = 1_000
REQUEST_BYTES = 7 * 1024 * 1024
"""What one request takes: the API's 8 MiB less room for what surrounds the turns."""


def is_storable_text(text: str) -> bool:
    """Whether Turnlog takes the text as it is."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def comes_back(value: Any, depth: int = 0) -> bool:
    """Whether a JSON value stored in a turn is read back equal, with the same types (the order of keys aside)."""
    if depth > NESTING_MAX:
        return False
    if isinstance(value, str):
        return is_storable_text(value)
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) < INTEGER_LIMIT
    if isinstance(value, float):
        return math.isfinite(value) and not value.is_integer()
    if isinstance(value, list):
        return all(comes_back(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return all(
            isinstance(key, str) and is_storable_text(key) and comes_back(item, depth + 1)
            for key, item in value.items()
        )
    return False


def json_text(value: Any) -> str:
    """The value as JSON text that Turnlog takes as it is; readable where it can be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if is_storable_text(text) else json.dumps(value, separators=(",", ":"))


def packed(data: bytes) -> str:
    """The bytes, compressed, as base64 text."""
    return base64.b64encode(zlib.compress(data)).decode()


def unpacked(text: str) -> bytes:
    """The bytes of a packed text. Raises ValueError when it is none."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"is no packed text: {error}") from error


def pieces(text: str, piece_chars: int) -> list[str]:
    """The text cut into pieces; none of an empty text."""
    return [text[start : start + piece_chars] for start in range(0, len(text), piece_chars)]


def size_of(value: object) -> int:
    """Bytes of a value as JSON in UTF-8; of text that UTF-8 cannot hold, at most."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


def requests(groups: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[Mapping[str, Any]]]:
    """Groups of turns in order, joined into as few requests as hold them; a group is never parted.

    Raises ValueError for a group that no request holds.
    """
    made: list[list[Mapping[str, Any]]] = []
    size = REQUEST_BYTES
    for group in groups:
        weight = sum(map(size_of, group))
        if weight > REQUEST_BYTES or len(group) > REQUEST_TURNS:
            raise ValueError(
                f"{weight} bytes in {len(group)} turns: at most {REQUEST_BYTES} bytes can be stored at once"
            )
        if size + weight > REQUEST_BYTES or len(made[-1]) + len(group) > REQUEST_TURNS:
            made.append([])
            size = 0
        made[-1] += group
        size += weight
    return made
