"""From events to changes of partitions: what each partition still lacks, and nothing else."""

import orjson

from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.fold import SessionState
from turnlog_projector.changes import advances, changes_of
from turnlog_projector.ports import portions
from turnlog_projector.stages import arguments_of
from turnlog_projector.verify import differences
from turnlog_views.keys import partition_of
from turnlog_views.partitions import Partition

ALL = {number: Partition(number) for number in range(256)}


def event(position: int, session: str = "s", type_name: str = ev.TURN_STORED, **body: object) -> Event:
    payload = orjson.dumps({"role": "user", "content": "x"} if type_name == ev.TURN_STORED else body)
    version = position if type_name == ev.TURN_STORED else None
    return Event(
        "main", position, "e", "t", session, version, type_name, 1, "k", 5, None, None, None, payload, b"", "", b""
    )


def test_events_are_gathered_by_partition_and_session_in_order() -> None:
    changes = changes_of([event(1), event(2, "r"), event(3)], ALL)
    assert set(changes) == {partition_of("t/s"), partition_of("t/r")}
    mine = changes[partition_of("t/s")]
    assert mine.checkpoint == 3
    assert mine.sessions["t/s"].count == 2
    assert mine.sessions["t/s"].arguments[1::8] == [1, 3]


def test_a_partition_ignores_what_it_has() -> None:
    number = partition_of("t/s")
    changes = changes_of([event(1), event(2), event(3)], ALL | {number: Partition(number, checkpoint=2)})
    assert changes[number].sessions["t/s"].arguments[1::8] == [3]
    assert changes_of([event(1)], ALL | {number: Partition(number, checkpoint=2)}) == {}


def test_partitions_that_are_not_given_and_events_without_effect_are_left_out() -> None:
    asked = event(2, type_name=ev.COMPRESSION_REQUESTED, task_id="x", up_to_version=1)
    assert changes_of([event(1)], {}) == {}
    assert changes_of([asked], ALL) == {}


async def test_effects_known_before_make_the_same_changes() -> None:
    events = [event(1), event(2, type_name=ev.TURNS_RETRACTED, from_version=1, to_version=1), event(3)]
    assert changes_of(events, ALL, await arguments_of(events)) == changes_of(events, ALL)


def test_only_partitions_that_lag_or_lack_the_stamp_are_moved() -> None:
    done, behind, unstamped = (
        Partition(0, checkpoint=9, stamp="r"),
        Partition(1, 1, 4, "r"),
        Partition(2, 1, 9, "old", chain="own"),
    )
    assert [c.partition.number for c in advances([done, behind, unstamped], 9, "c9", None)] == [1]
    moved = advances([done, behind, unstamped], 9, "c9", "r")
    assert [(c.partition.number, c.checkpoint, c.chain, c.stamp) for c in moved] == [
        (1, 9, "c9", False),
        (2, 9, "own", True),
    ]


def test_a_partition_is_never_moved_back() -> None:
    found = advances([Partition(0, checkpoint=9, chain="c9")], 4, "c4", "r")
    assert [(c.checkpoint, c.chain) for c in found] == [(9, "c9")]


def test_portions_keep_order_and_both_limits_and_never_split_an_event() -> None:
    events = [event(n) for n in range(1, 8)]
    size = len(events[0].payload)
    assert [len(part) for part in portions(events, 3, 10**6)] == [3, 3, 1]
    assert [len(part) for part in portions(events, 100, 2 * size)] == [2, 2, 2, 1]
    assert [len(part) for part in portions(events, 100, 1)] == [1] * 7
    assert [e for part in portions(events, 3, 10**6) for e in part] == events
    assert portions([], 3, 3) == []


def test_differences_name_what_and_hide_contents() -> None:
    one = SessionState(version=2, turns=((1, b"secret one"), (2, b"secret two")))
    other = SessionState(version=2, tokens=5, turns=((1, b"secret one"),))
    found = differences("t/s", one, other)
    assert [what for what, _, _ in found] == ["tokens", "number of turns", "turn 2"]
    assert found[2][2] == "absent"
    assert "secret" not in str(found)
    assert differences("t/s", one, one) == []
