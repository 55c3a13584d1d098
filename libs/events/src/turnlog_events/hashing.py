"""Hashes that make the log provable: payload hash, and a chain over every event of a log in order.

chain(n) = SHA-256( chain(n − 1) ‖ position as 8 bytes big-endian ‖ envelope ‖ payload hash ), chain(0) = 32 zero
bytes. The append function in PostgreSQL makes it; `tests/integration/test_append.py` holds the two to each other.
The envelope is text: its fields joined by line feeds, absent ones empty. No field can hold a line feed (ids are
checked, the rest is ours), so the text is unambiguous.
"""

from hashlib import sha256

from turnlog_events.errors import Corrupt
from turnlog_events.event import Event

GENESIS = bytes(32)


def payload_hash(payload: bytes) -> bytes:
    """SHA-256 of the canonical payload: 32 bytes."""
    return sha256(payload).digest()


def envelope_bytes(event: Event) -> bytes:
    """The envelope as it enters the chain."""
    fields = (
        event.log,
        event.event_id,
        event.tenant,
        event.session_id,
        "" if event.version is None else str(event.version),
        event.type,
        str(event.schema_version),
        event.key,
        str(event.recorded_at_us),
        event.causation_id or "",
        event.correlation_id or "",
        event.trace or "",
        event.key_id,
    )
    return "\n".join(fields).encode()


def chain_hash(previous: bytes, event: Event) -> bytes:
    """The chain hash that `event` must carry when the event before it carries `previous`."""
    return sha256(previous + event.position.to_bytes(8, "big") + envelope_bytes(event) + event.payload_sha256).digest()


def check_event(previous: bytes, event: Event) -> None:
    """Raise `Corrupt` unless the event's payload and chain hashes are what its bytes say."""
    if payload_hash(event.payload) != event.payload_sha256:
        raise Corrupt("payload does not match its SHA-256", event.log, event.position)
    if chain_hash(previous, event) != event.chain_hash:
        raise Corrupt("envelope or predecessor does not match the chain hash", event.log, event.position)
