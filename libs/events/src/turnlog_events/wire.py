"""The event on the wire: one line of envelope JSON, a line feed, the payload bytes untouched.

The payload is not parsed to be sent or received, so its bytes (and hash) cannot change on the way.
"""

from typing import Any

import orjson

from turnlog_events.errors import EventError
from turnlog_events.event import Event

_FIELDS = (
    "log",
    "position",
    "event_id",
    "tenant",
    "session_id",
    "version",
    "type",
    "schema_version",
    "key",
    "recorded_at_us",
    "causation_id",
    "correlation_id",
    "trace",
)


def encode(event: Event) -> bytes:
    """The event as bytes."""
    head = [getattr(event, name) for name in _FIELDS]
    head += (event.payload_sha256.hex(), event.key_id, event.chain_hash.hex())
    return orjson.dumps(head) + b"\n" + event.payload


def decode(data: bytes) -> Event:
    """The event in `data`. Raises `EventError` when the bytes are no event (hashes are not checked here)."""
    head, separator, payload = data.partition(b"\n")
    try:
        fields = orjson.loads(head)
        *plain, sha, key_id, chain = fields
        if not separator or len(plain) != len(_FIELDS):
            raise EventError("not an event: wrong number of envelope fields")
        values: list[Any] = [*plain, payload, bytes.fromhex(sha), key_id, bytes.fromhex(chain)]
        return Event(*values)
    except (orjson.JSONDecodeError, ValueError, TypeError) as error:
        raise EventError(f"not an event: {error}") from error
