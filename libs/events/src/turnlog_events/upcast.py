"""Upcasting: a payload of an older schema version becomes one of the current version when it is read.

Stored bytes are never rewritten. A new schema version adds one function here that turns the version before it into
the new one; reading composes them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from turnlog_events import event as ev
from turnlog_events.errors import UnknownEventType, UpcastMissing
from turnlog_events.event import Event

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

CURRENT: Mapping[str, int] = {
    ev.TURN_STORED: 1,
    ev.TURNS_RETRACTED: 1,
    ev.SUMMARIZED: 1,
    ev.COMPRESSION_REQUESTED: 1,
    ev.COMPRESSION_FAILED: 1,
    ev.COMPRESSION_SKIPPED: 1,
}

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(type, schema version) → function to the next schema version. Empty while every type is at version 1."""


def payload_of(
    event: Event,
    current: Mapping[str, int] = CURRENT,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
) -> dict[str, Any]:
    """The event's payload as a JSON object of the current schema version.

    Raises `UnknownEventType`, or `UpcastMissing` for a version without a way up (also a newer one: an older
    release must not guess at events of the next).
    """
    try:
        target = current[event.type]
    except KeyError:
        raise UnknownEventType(event.type) from None
    payload: dict[str, Any] = orjson.loads(event.payload)
    version = event.schema_version
    if version > target:
        raise UpcastMissing(event.type, version)
    while version < target:
        try:
            step = upcasters[event.type, version]
        except KeyError:
            raise UpcastMissing(event.type, version) from None
        payload, version = step(payload), version + 1
    return payload
