"""Turn ids made by the client, so that a retry is the same turn."""

import secrets
import time
import uuid

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


def new_turn_id() -> str:
    """A fresh UUIDv7 (RFC 9562) as text: ordered by the millisecond it was made in, random within it."""
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = secrets.randbits(74)
    value = milliseconds << 80 | _VERSION | (random >> 62) << 64 | _VARIANT | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))
