"""Opaque cursors: where a list goes on, and for which tenant and filters. Pure.

A cursor is not a secret and not signed: it holds only a position, and the tenant still comes from the
credential. The hash of tenant and filters is there so that a cursor of another list is refused instead of
silently skipping entries.
"""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256

FORMAT = 1
_HASH_BYTES = 8
_MAX_CHARS = 64
_POSITION_BYTES = 8


class ForeignCursor(ValueError):
    """The cursor is garbled, of another release's format, or of another list."""


def encode_cursor(position: int, tenant: str, filters: Mapping[str, str | None]) -> str:
    """The cursor for what follows `position` in the list of `tenant` under `filters`."""
    data = bytes([FORMAT]) + position.to_bytes(_POSITION_BYTES, "big") + _fingerprint(tenant, filters)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode_cursor(cursor: str, tenant: str, filters: Mapping[str, str | None]) -> int:
    """The position in `cursor`. Raises `ForeignCursor`."""
    if len(cursor) > _MAX_CHARS:
        raise ForeignCursor
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ForeignCursor from None
    position = int.from_bytes(data[1 : 1 + _POSITION_BYTES], "big")
    if position >= 2**63 or encode_cursor(position, tenant, filters) != cursor:
        raise ForeignCursor
    return position


def _fingerprint(tenant: str, filters: Mapping[str, str | None]) -> bytes:
    text = "\n".join([tenant, *(f"{name}={value}" for name, value in sorted(filters.items()) if value is not None)])
    return sha256(text.encode()).digest()[:_HASH_BYTES]
