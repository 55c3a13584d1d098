"""NATS and JetStream: what was seen → findings. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from turnlog_cli.diagnosis.findings import Finding, bad, note, size, well

OLDEST = (2, 10)
PAYLOAD_BYTES = 512 * 1024
NEARLY_FULL = 0.85
SUBJECT = "NATS"


@dataclass(frozen=True, slots=True)
class NatsSeen:
    """What the server says of itself and of our account; a limit of -1 or 0 is none."""

    version: tuple[int, int, int]
    max_payload_bytes: int
    store_bytes: int
    store_limit_bytes: int
    streams: int
    streams_limit: int = -1


def judge_nats(seen: NatsSeen) -> list[Finding]:
    """What needs somebody; the first finding says what server it is."""
    version = ".".join(map(str, seen.version))
    bound = f" of {size(seen.store_limit_bytes)}" if seen.store_limit_bytes > 0 else ""
    about = {"version": version, "store_bytes": seen.store_bytes, "store_limit_bytes": seen.store_limit_bytes}
    text = (
        f"{version}, JetStream with {seen.streams} stream{'s' * (seen.streams != 1)}, {size(seen.store_bytes)}{bound}"
    )
    return [well(SUBJECT, text, **about), *_limits(seen, version)]


def _limits(seen: NatsSeen, version: str) -> Iterator[Finding]:
    if seen.version[:2] < OLDEST:
        yield bad(
            SUBJECT,
            f"{version} is older than {'.'.join(map(str, OLDEST))}",
            "Streams cannot begin at a position: after a loss they are not made again. Followers read PostgreSQL.",
            f"run NATS {'.'.join(map(str, OLDEST))} or newer",
            "nats",
        )
    if seen.max_payload_bytes < PAYLOAD_BYTES:
        yield bad(
            SUBJECT,
            f"max_payload is {size(seen.max_payload_bytes)}, events may have {size(PAYLOAD_BYTES)}",
            "The relay stops at the first larger event: followers read PostgreSQL from there on. Nothing is lost.",
            "set `max_payload: 1MB` in the server's configuration and reload it",
            "nats",
        )
    full = seen.store_limit_bytes > 0 and seen.store_bytes >= NEARLY_FULL * seen.store_limit_bytes
    if full:
        yield note(
            SUBJECT,
            f"JetStream holds {size(seen.store_bytes)} of the {size(seen.store_limit_bytes)} that it may",
            "When it is full the relay stops, and followers read PostgreSQL, a little later. Nothing is lost.",
            "bound the streams by TURNLOG_STREAM_MAX_BYTES or TURNLOG_STREAM_MAX_AGE_S (older events come from "
            "PostgreSQL), or raise the limit",
            "nats",
        )
