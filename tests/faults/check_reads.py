"""Checks of what was read: nothing uncommitted, nothing stale, nothing skipped, nothing of another tenant. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from faults.check import FinalLog, Finding, first_times
from faults.record import AuditTrace, Call, Sighting, StreamTrace, Task


def uncommitted(sightings: Sequence[Sighting], calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """Every turn that was shown stands in the final log just so, and was not shown before anybody had sent it."""
    began, _ = first_times(calls)
    for seen in sightings:
        where = f"{seen.tenant}/{seen.session} version {seen.version}"
        row = log.by_key.get((seen.tenant, seen.session, seen.turn_id))
        if row is None:
            yield Finding("uncommitted", where, f"{seen.by} showed turn {seen.turn_id}, which is not in the log")
        elif (row.version, row.position, row.sha256) != (seen.version, seen.position, seen.sha256):
            stands = f"version {row.version}, position {row.position}, body {row.sha256[:12]}"
            shown = f"version {seen.version}, position {seen.position}, body {seen.sha256[:12]}"
            yield Finding("uncommitted", where, f"{seen.by} showed {shown} of {seen.turn_id}; the log has {stands}")
        elif seen.seen_s < began.get((seen.tenant, seen.session, seen.turn_id), float("-inf")):
            yield Finding("uncommitted", where, f"{seen.by} showed turn {seen.turn_id} before it was sent")


def stale(calls: Sequence[Call]) -> Iterator[Finding]:
    """No read with `min_version` is older."""
    for call in calls:
        if call.page is not None and call.page.version < call.page.min_version:
            yield Finding("stale", call.session, call.told())


def incomplete(calls: Sequence[Call], log: FinalLog) -> Iterator[Finding]:
    """A page of the newest turns holds every one of them but those that were retracted; "empty" is never a guess."""
    for call in calls:
        page = call.page
        if page is None or page.ranges is None:
            continue
        shown = {version for start, end in page.ranges for version in range(start, end + 1)}
        lowest = min(shown) if len(shown) >= page.limit else 1
        hidden = log.hidden.get((call.tenant, call.session), set())
        missing = [v for v in range(lowest, page.version + 1) if v not in shown and v not in hidden]
        if missing:
            yield Finding("incomplete", call.session, f"version {missing[0]} is missing: {call.told()}")
        if shown and max(shown) > page.version:
            yield Finding("incomplete", call.session, f"shows version {max(shown)}: {call.told()}")


def foreign(calls: Sequence[Call]) -> Iterator[Finding]:
    """No answer holds a byte that only another tenant sent."""
    for call in calls:
        if call.foreign:
            yield Finding("foreign", call.session, f"the answer holds another tenant's marker: {call.told()}")


def holds_foreign(tenant: str, tenants: Sequence[str], body: bytes) -> bool:
    """Whether an answer holds the marker of another tenant: its name, which stands in all that it sends."""
    return any(other.encode() in body for other in tenants if other != tenant)


def streams(traces: Sequence[StreamTrace], log: FinalLog) -> Iterator[Finding]:
    """Each subscriber got every turn of its session once and in order up to the end (but those retracted before they
    were sent), and every retraction and summary at least once (a resumed stream may repeat it, a connection not)."""
    for trace in traces:
        session = (trace.tenant, trace.session)
        where = "/".join(session)
        turns = [event.version for event in trace.events if event.name == "turn"]
        if turns != sorted(set(turns)):
            wrong = next(b for a, b in pairwise(turns) if b <= a)
            yield Finding("streams", where, f"version {wrong} came again or out of order")
        hidden = log.hidden.get(session, set())
        stored = {row.version or 0 for row in log.turns.get(session, ())}
        if missing := sorted(stored - hidden - set(turns)):
            yield Finding(
                "streams", where, f"{len(missing)} versions never came, the first is {missing[0]} of {max(stored)}"
            )
        marks = [event for event in trace.events if event.name in ("retracted", "summarized")]
        got = {event.position for event in marks}
        for row in log.marks.get(session, ()):
            if row.position not in got:
                yield Finding("streams", where, f"{row.type} at position {row.position} never came")
        if len({(event.connection, event.position) for event in marks}) != len(marks):
            yield Finding("streams", where, "an event came twice in one connection")


def audits(traces: Sequence[AuditTrace], log: FinalLog) -> Iterator[Finding]:
    """What an auditor read page by page is the tenant's history from its first event on, hashes included."""
    history: dict[tuple[str, str], list[tuple[int, str, str]]] = defaultdict(list)
    for row in log.rows:
        history[row.tenant, row.log].append((row.position, row.sha256, row.chain))
    for trace in traces:
        expected = sorted(history[trace.tenant, trace.log])[: len(trace.events)]
        for number, (want, got) in enumerate(zip(expected, trace.events, strict=False)):
            if want != got:
                yield Finding(
                    "audits", f"{trace.tenant} in {trace.log}", f"event {number}: the log has {want}, was shown {got}"
                )
                break
        if len(expected) < len(trace.events):
            yield Finding("audits", f"{trace.tenant} in {trace.log}", "more events were shown than the log has")


def tasks(found: Sequence[Task]) -> Iterator[Finding]:
    """Every compression asked for came to an end."""
    for task in found:
        if task.state not in ("done", "failed", "skipped"):
            yield Finding("tasks", f"{task.tenant} {task.task_id}", f"is {task.state or 'never answered'}")
