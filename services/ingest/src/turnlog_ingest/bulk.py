"""NDJSON in, NDJSON out: any number of sessions, each line a turn with its `session_id`, one result a line in order.

A wrong line is reported with its number and passed over. A failure that may pass (PostgreSQL away, queue full, a limit
used up) stops the load there: the lines after it are answered as not tried, and the same body may be sent again. Turns
are charged a window of lines at a time, wrong lines and duplicates among them.
"""

import asyncio

from turnlog_events.errors import InvalidField
from turnlog_events.event import NewEvent, rfc3339
from turnlog_events.ids import checked_session_id
from turnlog_events.strict_json import parse
from turnlog_eventstore import Appended, AppendRequest, OutcomeUnknown, Placed, Rejected, Stored, StoreError
from turnlog_follow.fence import Fenced
from turnlog_ingest.log_writers import LogWriter
from turnlog_ingest.reading_lane import STEP_TURNS, ReadingLane
from turnlog_ingest.turn_body import json_line, turn_event
from turnlog_ingest.waiting_writes import InOrder, QueueFull
from turnlog_ingest.writes import WriteHeaders, Writes, rejection
from turnlog_runtime.charges import TURNS, Charge, free
from turnlog_runtime.log_context import note
from turnlog_runtime.problems import Problem, problem_of

LINES_MAX = 10_000
WINDOW_LINES = 1_000


def split_lines(body: bytes) -> list[bytes]:
    """The lines of a body (a trailing line feed ends the last one). Raises `Problem` 413 for too many."""
    lines = body.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > LINES_MAX:
        raise Problem(413, "too_many_lines", f"a load has at most {LINES_MAX} lines; this has {len(lines)}", "body")
    return lines


def line_event(tenant: str, line: bytes, number: int, key: str | None, trace: str | None) -> NewEvent:
    """The event of one line. Raises `InvalidField`."""
    raw = parse(line, "line")
    if not isinstance(raw, dict):
        raise InvalidField("line", "must be a JSON object", "wrong_type")
    session_id = raw.pop("session_id", None)
    if not isinstance(session_id, str):
        raise InvalidField("session_id", "is required", "missing_field")
    turn_id = f"{key}#{number}" if key and raw.get("turn_id") is None else None
    return turn_event(tenant, checked_session_id(session_id), raw, turn_id, trace=trace)


async def load(writes: Writes, tenant: str, body: bytes, headers: WriteHeaders, charge: Charge = free) -> bytes:
    """Store every line that can be; the answer, one result a line."""
    lines = split_lines(body)
    out: list[bytes] = []
    for start in range(0, len(lines), WINDOW_LINES):
        window = lines[start : start + WINDOW_LINES]
        try:
            await charge(TURNS, len(window))
        except Problem as problem:
            results, stopped = _limited(problem, start + 1, len(window)), True
        else:
            results, stopped = await _load_window(writes, tenant, window, start + 1, headers)
        out += results
        if stopped:
            out += (_not_tried(n) for n in range(start + len(window) + 1, len(lines) + 1))
            break
    return b"".join(out)


Outcome = InvalidField | StoreError | Appended


async def _load_window(
    writes: Writes, tenant: str, lines: list[bytes], first: int, headers: WriteHeaders
) -> tuple[list[bytes], bool]:
    """The answers of a window's lines, and whether the load stops after it."""
    try:
        events = await _events(writes.lane, tenant, lines, first, headers)
        outcomes = await _append(await writes.writer_of(tenant), events)
        if any(isinstance(outcome, Rejected) and outcome.code == "wrong_log" for outcome in outcomes):
            outcomes = await _append(await writes.moved(tenant), events)
    except StoreError as error:
        outcomes = [error]
    results = [_result(number, outcome) for number, outcome in enumerate(outcomes, first)]
    missing = [_not_tried(number) for number in range(first + len(outcomes), first + len(lines))]
    return [line for line, _ in results] + missing, any(stops for _, stops in results)


async def _events(
    lane: ReadingLane, tenant: str, lines: list[bytes], first: int, headers: WriteHeaders
) -> list[NewEvent | InvalidField]:
    """The event of each line, or what is wrong with it."""
    events: list[NewEvent | InvalidField] = []
    for number, line in enumerate(lines, first):
        if number % STEP_TURNS == 0:
            await lane.step(tenant)
        try:
            events.append(line_event(tenant, line, number, headers.idempotency_key, headers.trace()))
        except InvalidField as error:
            events.append(error)
    return events


async def _append(writer: LogWriter, events: list[NewEvent | InvalidField]) -> list[Outcome]:
    """What became of each line, in order; shorter than `events` when the queue or the fence ended it."""
    note(log=writer.log)
    queued: list[InvalidField | StoreError | asyncio.Future[Appended]] = []
    order = InOrder()
    for event in events:
        if isinstance(event, InvalidField):
            queued.append(event)
            continue
        try:
            queued.append(writer.submit(AppendRequest((event,)), order))
        except (QueueFull, Fenced) as error:
            order.broken = True
            queued.append(error)
            break
    await asyncio.gather(*(q for q in queued if isinstance(q, asyncio.Future)), return_exceptions=True)
    return [_settled(q) for q in queued]


def _settled(queued: "InvalidField | StoreError | asyncio.Future[Appended]") -> Outcome:
    if not isinstance(queued, asyncio.Future):
        return queued
    error = queued.exception()
    if error is None:
        return queued.result()
    if not isinstance(error, StoreError):
        raise error
    return error


def _result(number: int, outcome: Outcome) -> tuple[bytes, bool]:
    """One line's answer, and whether the load stops after this window."""
    if isinstance(outcome, Stored):
        return _stored(number, outcome.events[0]), False
    if isinstance(outcome, InvalidField):
        return _refused(number, problem_of(outcome)), False
    error = rejection(outcome) if isinstance(outcome, Rejected) else outcome
    if isinstance(error, Problem):
        return _refused(number, error), False
    if isinstance(error, OutcomeUnknown):
        fix = "may or may not be stored; send the line again with the same turn_id"
        return _failed(number, "outcome_unknown", fix), True
    return _failed(number, "unavailable", "was not stored; send the line again later"), True


def _stored(number: int, place: Placed) -> bytes:
    return json_line(
        {
            "line": number,
            "status": "duplicate" if place.duplicate else "stored",
            "turn_id": place.key,
            "log": place.log,
            "position": place.position,
            "version": place.version,
            "recorded_at": rfc3339(place.recorded_at_us),
        }
    )


def _refused(number: int, problem: Problem) -> bytes:
    return json_line({"line": number, "status": "refused", "error": problem.body()["error"]})


def _limited(problem: Problem, first: int, count: int) -> list[bytes]:
    """The answers of a window that a limit refused."""
    retry = f"was not stored; {problem.message}"
    return [_failed(first, "rate_limited", retry), *(_not_tried(first + n) for n in range(1, count))]


def _failed(number: int, code: str, message: str) -> bytes:
    error = {"type": "unavailable", "message": message, "code": code, "param": None}
    return json_line({"line": number, "status": "failed", "error": error})


def _not_tried(number: int) -> bytes:
    return _failed(number, "not_tried", "an earlier line failed for a cause that may pass; send the rest again")
