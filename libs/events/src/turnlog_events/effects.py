"""What an event does to its session: the one place where events are interpreted for the read models.

`effect_of(event)` is used by the projector (which sends effects to Redis), by the fold in Python (`fold.py`), and so
by rebuild and verification: they cannot disagree about what an event means.
"""

from dataclasses import dataclass

from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.payloads import MemorySummarized, TurnsRetracted
from turnlog_events.turn_view import turn_tokens, turn_view
from turnlog_events.upcast import payload_of


@dataclass(frozen=True, slots=True)
class AddTurn:
    """A turn becomes visible. `view` is its JSON as served."""

    version: int
    view: bytes
    tokens: int
    recorded_at_us: int
    agent_id: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class HideTurns:
    """Turns from..to (inclusive) vanish, and with them every summary that covers any of them."""

    from_version: int
    to_version: int


@dataclass(frozen=True, slots=True)
class AddSummary:
    """A summary of from..to replaces the summaries it covers. `body` is the JSON as stored in the read model:
    the event's payload with `event_id`, `position` and `recorded_at` before it."""

    from_version: int
    to_version: int
    level: int
    revision: int
    body: bytes


Effect = AddTurn | HideTurns | AddSummary | None


def effect_of(event: Event) -> Effect:
    """What `event` does to its session's read model; None for events that change nothing there."""
    if event.type == ev.TURN_STORED:
        return _add_turn(event)
    if event.type == ev.TURNS_RETRACTED:
        retracted = TurnsRetracted.from_json(payload_of(event))
        return HideTurns(retracted.from_version, retracted.to_version)
    if event.type == ev.SUMMARIZED:
        return _add_summary(event)
    payload_of(event)
    return None


def _add_turn(event: Event) -> AddTurn:
    payload = payload_of(event)
    assert event.version is not None, "a turn has a version"
    return AddTurn(
        version=event.version,
        view=turn_view(event, payload),
        tokens=turn_tokens(payload),
        recorded_at_us=event.recorded_at_us,
        agent_id=payload.get("agent_id"),
        user_id=payload.get("user_id"),
    )


def _add_summary(event: Event) -> AddSummary:
    node = MemorySummarized.from_json(payload_of(event))
    head = (
        f'{{"event_id":"{event.event_id}","position":{event.position},'
        f'"recorded_at":"{ev.rfc3339(event.recorded_at_us)}",'
    )
    body = head.encode() + event.payload[1:]
    return AddSummary(node.from_version, node.to_version, node.level, node.revision, body)
