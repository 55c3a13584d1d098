"""What an event does to its session: the one place where events are interpreted for the read models.

Used by the projector (which sends effects to Redis), by the fold in Python (`fold.py`), and so by rebuild and
verification: they cannot disagree about what an event means.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.payloads import MemorySummarized, TurnsRetracted
from turnlog_events.tokens import count_tokens_many
from turnlog_events.turn_view import counted_texts, turn_view
from turnlog_events.upcast import payload_of


class AddTurn(NamedTuple):
    """A turn becomes visible. `view` is its JSON as served."""

    version: int
    view: bytes
    tokens: int
    recorded_at_us: int
    agent_id: str | None
    user_id: str | None


class HideTurns(NamedTuple):
    """Turns from..to (inclusive) vanish, and with them every summary that covers any of them."""

    from_version: int
    to_version: int


class AddSummary(NamedTuple):
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
    return effects_of([event])[0]


def effects_of(events: Sequence[Event]) -> list[Effect]:
    """What each event does, in order."""
    draft = Draft(events)
    return draft.effects(count_tokens_many(draft.texts))


class Draft:
    """Events read, but the tokens of their turns not yet counted. Counting is most of the work; between the two steps
    a thread can do it (`count_tokens_many(draft.texts)`)."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.texts: list[str] = []
        self._parts: list[tuple[Event, dict[str, Any], int, int]] = []
        for event in events:
            payload = payload_of(event)
            texts, beside = counted_texts(payload) if event.type == ev.TURN_STORED else ([], 0)
            self.texts += texts
            self._parts.append((event, payload, len(texts), beside))

    def effects(self, counts: Sequence[int]) -> list[Effect]:
        """What each event does, in order, given the tokens of each of `texts`."""
        left = iter(counts)
        return [_effect(event, payload, sum(islice(left, n), beside)) for event, payload, n, beside in self._parts]


def _effect(event: Event, payload: dict[str, Any], tokens: int) -> Effect:
    if event.type == ev.TURN_STORED:
        return _add_turn(event, payload, tokens)
    if event.type == ev.TURNS_RETRACTED:
        retracted = TurnsRetracted.from_json(payload)
        return HideTurns(retracted.from_version, retracted.to_version)
    if event.type == ev.SUMMARIZED:
        return _add_summary(event, payload)
    return None


def _add_turn(event: Event, payload: dict[str, Any], tokens: int) -> AddTurn:
    assert event.version is not None, "a turn has a version"
    return AddTurn(
        event.version,
        turn_view(event, payload, tokens),
        tokens,
        event.recorded_at_us,
        payload.get("agent_id"),
        payload.get("user_id"),
    )


def _add_summary(event: Event, payload: dict[str, Any]) -> AddSummary:
    node = MemorySummarized.from_json(payload)
    head = (
        f'{{"event_id":"{event.event_id}","position":{event.position},'
        f'"recorded_at":"{ev.rfc3339(event.recorded_at_us)}",'
    )
    body = head.encode() + event.payload[1:]
    return AddSummary(node.from_version, node.to_version, node.level, node.revision, body)
