"""The event: an immutable record with its place in the log and in its session."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

TURN_STORED = "MemoryTurnStored"
TURNS_RETRACTED = "TurnsRetracted"
SUMMARIZED = "MemorySummarized"
COMPRESSION_REQUESTED = "CompressionRequested"
COMPRESSION_FAILED = "CompressionFailed"
COMPRESSION_SKIPPED = "CompressionSkipped"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands in the log.

    `position` is dense in its log (1, 2, 3 …). `version` is the turn's number in its session, None on events that
    are not turns. `key` is unique per tenant and session for ever: a turn's `turn_id`, for other types a name with
    slashes (a character no client id has). `recorded_at_us` is microseconds since 1970 UTC by PostgreSQL's clock;
    order is by position, never by time. `payload` is canonical JSON; `key_id` is empty until payloads are sealed.
    """

    log: str
    position: int
    event_id: str
    tenant: str
    session_id: str
    version: int | None
    type: str
    schema_version: int
    key: str
    recorded_at_us: int
    causation_id: str | None
    correlation_id: str | None
    trace: str | None
    payload: bytes
    payload_sha256: bytes
    key_id: str
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended: what the appender knows before the log gives it a place.

    `agent_id` and `user_id` repeat what the payload says, so that the log can list sessions by them.
    """

    tenant: str
    session_id: str
    type: str
    key: str
    payload: bytes
    payload_sha256: bytes
    event_id: str
    schema_version: int = 1
    causation_id: str | None = None
    correlation_id: str | None = None
    trace: str | None = None
    agent_id: str | None = None
    user_id: str | None = None

    @property
    def takes_version(self) -> bool:
        """Only turns take a version: a summary must not break a client's `If-Match`."""
        return self.type == TURN_STORED


@lru_cache(maxsize=1024)
def rfc3339(us: int) -> str:
    """Microseconds since 1970 UTC as RFC 3339 with microseconds, e.g. `2026-11-23T18:47:20.000123Z`.

    Cached: all events of one commit share their time."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"
