"""Each check of a run finds what it is for: a clean record is green, the same record with one thing doctored is red."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from faults import check_faults, check_reads, check_time, check_writes
from faults.check import RETRACTED, TURN, FinalLog, Finding, LogRow
from faults.check_faults import Window
from faults.judge import unexpected_errors
from faults.record import (
    ANSWERED,
    NO_ANSWER,
    REFUSED,
    REJECTED,
    STALE,
    STORED,
    UNKNOWN,
    WRONG,
    AuditTrace,
    Call,
    Page,
    Placed,
    Record,
    Sent,
    Sighting,
    Streamed,
    StreamTrace,
    Task,
    ranges_of,
)  # fmt: skip
from faults.schedule import steps
from faults.watch import Said, takeovers

T, S = "tenant-a", "s"
ROWS = [LogRow("main", n, T, S, n, TURN, f"t{n}", f"hash{n}", f"chain{n}") for n in range(1, 6)] + [
    LogRow("main", 6, T, S, None, RETRACTED, "retract/r", "", "chain6", (2, 2))
]


def call(started_s: float, outcome: str = STORED, kind: str = "single", **more: object) -> Call:
    """A call that took a tenth of a second."""
    facts = {"request": f"q{started_s}", "attempt": 1, "allowed_s": 2.0, **more}
    return Call(kind, "ingest-1", T, S, started_s=started_s, ended_s=started_s + 0.1, outcome=outcome, **facts)  # type: ignore[arg-type]


def post(started_s: float, *numbers: int, outcome: str = STORED, duplicate: bool = False, **more: object) -> Call:
    """A POST of these turns."""
    sent = tuple(Sent(S, f"t{n}", f"hash{n}") for n in numbers)
    placed = tuple(Placed(S, f"t{n}", "main", n, n, duplicate) for n in numbers) if outcome == STORED else ()
    return call(started_s, outcome, sent=sent, placed=placed, **more)


CLEAN = [post(1, 1), post(2, 2), post(3, 3, 4), post(4, 5), post(5, 1, duplicate=True, kind="repeat")]


def log(rows: list[LogRow] = ROWS) -> FinalLog:
    return FinalLog(rows)


def moved(number: int, **changes: object) -> list[LogRow]:
    """The rows with one of them changed."""
    return [row._replace(**changes) if row.position == number else row for row in ROWS]  # type: ignore[arg-type]


def without(*numbers: int) -> list[LogRow]:
    return [row for row in ROWS if row.position not in numbers]


SEEN = Sighting(T, S, 2, "t2", 2, "hash2", 2.5, "turns at query-1")
PAGE = call(5, ANSWERED, "turns", page=Page(5, 5, 3, ((3, 5),)))
STREAM = StreamTrace(T, S, [*(Streamed("turn", n, n, 1) for n in range(1, 6)), Streamed("retracted", 5, 6, 1)])
AUDIT = AuditTrace(T, "main", [(n, f"hash{n}", f"chain{n}") for n in range(1, 6)])


def stream(events: list[Streamed]) -> list[StreamTrace]:
    return [StreamTrace(T, S, events)]


Case = Callable[[], object]
CASES: dict[str, tuple[Case, Case]] = {
    "an acknowledged turn is missing": (
        lambda: check_writes.lost(CLEAN, log()),
        lambda: check_writes.lost(CLEAN, log(without(2))),
    ),
    "an acknowledged turn stands elsewhere": (
        lambda: check_writes.lost(CLEAN, log()),
        lambda: check_writes.lost(CLEAN, log(moved(2, version=7))),
    ),
    "an acknowledged turn has another body": (
        lambda: check_writes.lost(CLEAN, log()),
        lambda: check_writes.lost(CLEAN, log(moved(2, sha256="other"))),
    ),
    "a turn stands twice": (
        lambda: check_writes.twice(log()),
        lambda: check_writes.twice(log([*ROWS, ROWS[0]._replace(position=7, version=6)])),
    ),
    "a repeat is answered as new": (
        lambda: check_writes.repeats(CLEAN),
        lambda: check_writes.repeats([*CLEAN, post(6, 1, kind="repeat")]),
    ),
    "a retry is answered with another place": (
        lambda: check_writes.repeats(CLEAN),
        lambda: check_writes.repeats([*CLEAN, replace(CLEAN[4], placed=(Placed(S, "t1", "main", 9, 9, True),))]),
    ),
    "a position is missing": (
        lambda: check_writes.holes(log()),
        lambda: check_writes.holes(log(moved(6, position=8))),
    ),
    "a version is missing": (
        lambda: check_writes.holes(log()),
        lambda: check_writes.holes(log(moved(5, version=6))),
    ),
    "half a request is stored": (
        lambda: check_writes.partial(CLEAN, log()),
        lambda: check_writes.partial(CLEAN, log(without(4))),
    ),
    "a later call got a lower version": (
        lambda: check_writes.inversions(CLEAN, log()),
        lambda: check_writes.inversions([post(3, 1), post(1, 2)], log()),
    ),
    "a refused turn is stored": (
        lambda: check_writes.refused_but_stored([post(1, 1, outcome=REFUSED), post(2, 1, outcome=UNKNOWN)], log()),
        lambda: check_writes.refused_but_stored([post(1, 1, outcome=REFUSED), post(2, 1, outcome=REJECTED)], log()),
    ),
    "a turn was shown that is not in the log": (
        lambda: check_reads.uncommitted([SEEN], CLEAN, log()),
        lambda: check_reads.uncommitted([SEEN], CLEAN, log(without(2))),
    ),
    "a turn was shown with another body": (
        lambda: check_reads.uncommitted([SEEN], CLEAN, log()),
        lambda: check_reads.uncommitted([SEEN._replace(sha256="other")], CLEAN, log()),
    ),
    "a turn was shown before it was sent": (
        lambda: check_reads.uncommitted([SEEN], CLEAN, log()),
        lambda: check_reads.uncommitted([SEEN._replace(seen_s=1.9)], CLEAN, log()),
    ),
    "a read is older than asked for": (
        lambda: check_reads.stale([PAGE]),
        lambda: check_reads.stale([replace(PAGE, page=Page(4, 5, 3, ((2, 4),)))]),
    ),
    "a page leaves a turn out": (
        lambda: check_reads.incomplete([PAGE, replace(PAGE, page=Page(5, 0, 20, ((1, 1), (3, 5))))], log()),
        lambda: check_reads.incomplete([replace(PAGE, page=Page(5, 0, 20, ((1, 3), (5, 5))))], log()),
    ),
    "a page is empty as if that were true": (
        lambda: check_reads.incomplete([PAGE], log()),
        lambda: check_reads.incomplete([replace(PAGE, page=Page(5, 0, 20, ()))], log()),
    ),
    "an answer holds another tenant's bytes": (
        lambda: check_reads.foreign([PAGE]),
        lambda: check_reads.foreign(
            [replace(PAGE, foreign=check_reads.holds_foreign(T, (T, "tenant-b"), b"[tenant-b/x"))]
        ),
    ),
    "a stream skips a turn": (
        lambda: check_reads.streams([STREAM], log()),
        lambda: check_reads.streams(stream([e for e in STREAM.events if e.version != 3]), log()),
    ),
    "a stream sends a turn twice": (
        lambda: check_reads.streams([STREAM], log()),
        lambda: check_reads.streams(stream([*STREAM.events, Streamed("turn", 5, 5, 2)]), log()),
    ),
    "a stream leaves a retraction out": (
        lambda: check_reads.streams([STREAM], log()),
        lambda: check_reads.streams(stream(STREAM.events[:-1]), log()),
    ),
    "a stream sends a retraction twice in a connection": (
        lambda: check_reads.streams(stream([*STREAM.events, Streamed("retracted", 5, 6, 2)]), log()),
        lambda: check_reads.streams(stream([*STREAM.events, Streamed("retracted", 5, 6, 1)]), log()),
    ),
    "an audit skips an event": (
        lambda: check_reads.audits([AUDIT], log()),
        lambda: check_reads.audits([AuditTrace(T, "main", [AUDIT.events[0], *AUDIT.events[2:]])], log()),
    ),
    "an audit shows an event that is not there": (
        lambda: check_reads.audits([AUDIT], log()),
        lambda: check_reads.audits([AUDIT], log(without(5, 6))),
    ),
    "a task never ends": (
        lambda: check_reads.tasks([Task(T, "x", 0.0, "done")]),
        lambda: check_reads.tasks([Task(T, "x", 0.0, "running")]),
    ),
    "a call takes too long": (
        lambda: check_time.late([replace(PAGE, ended_s=7.4)]),
        lambda: check_time.late([replace(PAGE, ended_s=7.6)]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_green_on_a_clean_record_and_red_on_a_doctored_one(name: str) -> None:
    clean, doctored = CASES[name]
    assert [*clean()] == []  # type: ignore[call-overload]
    found = [*doctored()]  # type: ignore[call-overload]
    assert found
    assert all(isinstance(finding, Finding) for finding in found)


def test_a_late_call_is_excused_only_as_far_as_this_process_was_late_itself() -> None:
    slow = replace(PAGE, ended_s=8.0)
    assert [*check_time.late([slow], lambda _: 0.6)] == []
    assert [*check_time.late([slow], lambda _: 0.4)] != []
    assert check_time.longest([slow, PAGE], lambda c: float("inf") if c is slow else 0.0) == {"turns": PAGE}


WINDOW = Window(
    "postgres-killed",
    "row",
    10,
    11,
    15,
    16,
    frozenset({"refused", "unknown"}),
    frozenset({"stale"}),
    frozenset({"stale"}),
)


@pytest.mark.parametrize(
    ("seen", "is_allowed"),
    [
        (post(12, 1, outcome=REFUSED), True),
        (post(12, 1, outcome=UNKNOWN), True),
        (post(12, 1), False),
        (post(10.5, 1), True),
        (post(12, 1, outcome=NO_ANSWER), False),
        (post(12, 1, outcome=WRONG), False),
        (call(12, STALE, "turns"), True),
        (call(12, REFUSED, "turns"), False),
        (call(12, WRONG, "turns"), False),
        (post(30, 1), True),
        (call(12, WRONG, "turns", code="version_not_reached"), False),
    ],
)
def test_outcomes_are_held_to_what_the_fault_allows(seen: Call, is_allowed: bool) -> None:
    felt = [WINDOW] if WINDOW.touches(seen) else []
    assert check_faults.allowed(seen, felt) is is_allowed


def test_a_code_that_is_true_while_a_fault_lasts_is_allowed_then_only() -> None:
    lost = replace(WINDOW, codes=frozenset({"version_not_reached"}))
    assert check_faults.allowed(call(12, WRONG, "turns", code="version_not_reached"), [lost])
    assert not check_faults.allowed(call(12, WRONG, "turns", code="internal"), [lost])


def test_calls_at_a_victim_are_counted_apart() -> None:
    calls = [post(12, 1, outcome=NO_ANSWER), post(12, 2, outcome=REFUSED)]
    write, read = check_faults.columns(WINDOW, [WINDOW], calls, lambda c: float("inf") if c is calls[0] else 0.0)
    assert write.outcomes == {"at the victim": 1, REFUSED: 1}
    assert write.green
    assert read.green
    write, _ = check_faults.columns(WINDOW, [WINDOW], calls, lambda _: 0.0)
    assert write.wrong == [calls[0]]


def test_an_unhappy_call_that_no_fault_touched_is_found() -> None:
    calls = [post(1, 1, outcome=REFUSED), post(12, 1, outcome=REFUSED), post(1, 2)]
    assert check_faults.outside([WINDOW], calls, lambda _: 0.0) == [calls[0]]


def test_a_read_that_needs_only_the_models_that_stood_must_get_them() -> None:
    stood = post(1, 1)
    assert check_faults.cold([WINDOW], [stood, call(12, STALE, "turns")], lambda _: 0.0) == []
    refused = call(12, REFUSED, "turns")
    assert check_faults.cold([WINDOW], [stood, refused], lambda _: 0.0) == [(WINDOW, refused)]
    assert check_faults.cold([WINDOW], [refused], lambda _: 0.0) == []


def test_errors_in_logs_count_unless_the_row_asks_for_them() -> None:
    said = [Said(1, "ingest-1", "log_fenced", "error", {}), Said(1, "ingest-2", "relay_waits", "warning", {})]
    assert unexpected_errors(said, ["Postgres restarted with an older state, or …"]) == {}
    assert unexpected_errors(said, ["NATS wiped"]) == {"ingest: log_fenced": 1}
    assert unexpected_errors([Said(1, "query-1", "Traceback (most recent call last):", "raw", {})], []) != {}


def test_a_takeover_is_timed_from_the_leader_s_going_to_the_next_one_s_leading() -> None:
    said = [
        Said(at_s, name, "relay_leading", "info", {"log": "main"}) for at_s, name in ((1, "ingest-1"), (7, "ingest-2"))
    ]
    [(gone_s, move)] = takeovers(said, {"ingest-1": [(0, 11), (5, 0), (9, 12)], "ingest-2": [(0, 13)]})
    assert (gone_s, move.what, move.to_replica, move.took_s) == (5, "relay/main", "ingest-2", 2)


class _Planned:
    def __init__(self, name: str, row: str) -> None:
        self.name, self.row, self.hold_s = name, row, 4.0


def test_a_schedule_makes_every_fault_once_before_any_again_and_is_the_same_for_a_seed() -> None:
    faults = [_Planned(f"f{n}", f"row{n % 3}") for n in range(9)]
    made = [step for step, _ in zip(steps(faults, 7), range(40), strict=False)]
    assert sorted(name for step in made[:9] for name in step.names) == sorted(fault.name for fault in faults)
    assert any(len(step.names) == 2 for step in made[9:])
    assert made == [step for step, _ in zip(steps(faults, 7), range(40), strict=False)]
    assert made != [step for step, _ in zip(steps(faults, 8), range(40), strict=False)]


def test_a_turn_seen_differently_from_before_is_kept_too() -> None:
    record = Record()
    for seen in (SEEN, SEEN, SEEN._replace(seen_s=9.0), SEEN._replace(turn_id="other")):
        record.saw(seen)
    assert record.sightings == [SEEN, SEEN._replace(turn_id="other")]


def test_versions_become_ranges() -> None:
    assert ranges_of([1, 2, 3, 7, 9, 10]) == ((1, 3), (7, 7), (9, 10))
