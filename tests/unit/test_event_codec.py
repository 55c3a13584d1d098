"""Wire format, hashes and upcasting of events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnlog_events import wire
from turnlog_events.canonical import canonical
from turnlog_events.compose import Line
from turnlog_events.errors import Corrupt, EventError, UnknownEventType, UpcastMissing
from turnlog_events.event import TURN_STORED, Event, rfc3339
from turnlog_events.hashing import GENESIS, chain_hash, check_event, payload_hash
from turnlog_events.payloads import (
    CompressionEnded,
    CompressionRequested,
    MemorySummarized,
    TurnsRetracted,
)
from turnlog_events.upcast import payload_of

IDS = st.text("abcXYZ019._:@+-#", min_size=1, max_size=12)
MAYBE = st.none() | IDS


def sealed(event: Event, previous: bytes = GENESIS) -> Event:
    event = replace(event, payload_sha256=payload_hash(event.payload))
    return replace(event, chain_hash=chain_hash(previous, event))


EVENTS = st.builds(
    Event,
    log=IDS,
    position=st.integers(1, 2**53),
    event_id=st.uuids().map(str),
    tenant=IDS,
    session_id=IDS,
    version=st.none() | st.integers(1, 2**53),
    type=st.sampled_from([TURN_STORED, "TurnsRetracted"]),
    schema_version=st.integers(1, 9),
    key=IDS,
    recorded_at_us=st.integers(0, 2**52),
    causation_id=st.none() | st.uuids().map(str),
    correlation_id=MAYBE,
    trace=MAYBE,
    payload=st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=4).map(
        canonical_or_empty := (lambda d: canonical({k.replace("\0", ""): v.replace("\0", "") for k, v in d.items()}))
    ),
    payload_sha256=st.binary(min_size=32, max_size=32),
    key_id=st.just(""),
    chain_hash=st.binary(min_size=32, max_size=32),
)


@given(EVENTS)
def test_an_event_comes_off_the_wire_as_it_went_on(event: Event) -> None:
    assert wire.decode(wire.encode(event)) == event


@given(st.binary(max_size=200))
def test_other_bytes_off_the_wire_are_an_event_error(data: bytes) -> None:
    with pytest.raises(EventError):
        wire.decode(data)


@given(EVENTS, st.data())
def test_any_changed_field_breaks_the_proof(event: Event, data: st.DataObject) -> None:
    event = sealed(event)
    check_event(GENESIS, event)
    name = data.draw(
        st.sampled_from(["position", "session_id", "version", "type", "key", "recorded_at_us", "payload", "tenant"])
    )
    other = getattr(data.draw(EVENTS), name)
    if other != getattr(event, name):
        with pytest.raises(Corrupt):
            check_event(GENESIS, replace(event, **{name: other}))


def test_a_changed_predecessor_breaks_the_proof() -> None:
    event = sealed(EVENT)
    with pytest.raises(Corrupt, match="predecessor"):
        check_event(bytes(31) + b"\1", event)


EVENT = Event(
    "main", 1, "00000000-0000-7000-8000-000000000000", "t", "s", 1, TURN_STORED, 1, "k", 0, None, None, None,
    b'{"content":"x","role":"user"}', bytes(32), "", bytes(32),
)  # fmt: skip


def test_an_older_schema_version_is_brought_up_step_by_step() -> None:
    steps = {
        (TURN_STORED, 1): lambda p: {**p, "role": p["role"].lower()},
        (TURN_STORED, 2): lambda p: {**p, "added": p["role"] + "!"},
    }
    event = replace(EVENT, payload=b'{"content":"x","role":"USER"}')
    assert payload_of(event, {TURN_STORED: 3}, steps) == {"content": "x", "role": "user", "added": "user!"}


def test_a_version_without_a_way_up_and_a_newer_one_are_refused() -> None:
    with pytest.raises(UpcastMissing):
        payload_of(EVENT, {TURN_STORED: 2}, {})
    with pytest.raises(UpcastMissing):
        payload_of(replace(EVENT, schema_version=2))
    with pytest.raises(UnknownEventType):
        payload_of(replace(EVENT, type="SomethingElse"))


@pytest.mark.parametrize(
    "payload",
    [
        TurnsRetracted(1, 2),
        TurnsRetracted(1, 2, "said in error"),
        CompressionRequested("t", 4),
        CompressionEnded("t", "nothing to do"),
        MemorySummarized(1, 4, 1, 1, "A.", (Line(2, 0.5, "A.", "Ann", "2026-01-01T00:00:00Z"),), "m", "1", 9, 2),
        MemorySummarized(1, 4, 2, 3, "", (), "m", "1", 9, 2, ("e1", "e2"), {"w": 1.5}, "task"),
    ],
)
def test_payloads_survive_json(payload: TurnsRetracted | MemorySummarized) -> None:
    assert type(payload).from_json(payload.to_json()) == payload


def test_times_are_rfc_3339_in_microseconds() -> None:
    assert rfc3339(1_795_461_272_138_378) == "2026-11-23T19:14:32.138378Z"
