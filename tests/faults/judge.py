"""What a run proved: every check, and the verdict on each fault. Called by `run.py` at the end."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from faults import check_reads, check_time, check_writes, final
from faults.check import FinalLog, Finding
from faults.check_faults import GRACE_S, Window, cold, columns, outside
from faults.client import CANCELLED, IDLE_S
from faults.record import NO_ANSWER, Call, Record
from faults.report import FaultVerdict, Report, Totals
from faults.watch import Said, Takeover, Watch, takeovers
from turnlog_bus import Bus
from turnlog_views import WriterSettings

if TYPE_CHECKING:
    from faults.load import Load
    from faults.run import Injected, Run

Excused = Callable[[Call], float]
WHOLE_S = 1.5
FENCED_ROW, CUT_ROW = "older state", "cut mid-body"
CUT, READ_CUTS = ("ingest-1", "query-1"), ("reads-cut",)
"""Whom the faults of the wire cut off."""
EXPECTED_ERRORS = {FENCED_ROW: {"log_fenced", "views_not_of_this_log"}}
"""Errors that a row of the table asks for, by a word of the row."""
OLDER_CODES = frozenset({"version_not_reached", "session_not_found", "task_not_found"})
"""What a PostgreSQL with an older state says truly of what it has lost."""


async def judged(run: "Run", load: "Load", not_run: Mapping[str, str], unquiet: str) -> Report:
    """Everything that there is to say about a run."""
    record = run.ground.record
    windows = [window_of(done) for done in run.injected]
    excused = excuse(run.watch, windows)
    logs = sorted(set(run.world.tenants.values()))
    async with final.opened(run.world.app_dsn) as store:
        log = await final.read_logs(store, logs)
        findings = [*checks(record, log, excused)]
        bus = Bus(run.world.nats_url)
        try:
            findings += await final.relayed(store, bus, logs, run.options.seed)
        finally:
            await bus.close()
        findings += await final.verified(store, run.world.redis_url, logs, WriterSettings())
    findings += [Finding("harness", "load", text) for text in load.failed()]
    findings += [Finding("quiet", "after the run", unquiet)] if unquiet else []
    findings += [Finding("outside", "no fault", c.told()) for c in outside(windows, record.calls, excused)]
    for window, call in cold(windows, record.calls, excused):
        findings.append(Finding("cold", window.name, f"not from the read models that stood: {call.told()}"))
    moves = takeovers(run.watch.said, run.watch.changes)
    verdicts = [_verdict(run, number, windows, excused, moves) for number in range(len(windows))]
    longest = {kind: c.told() for kind, c in check_time.longest(record.calls, excused).items()}
    return Report(
        run.options.seed, run.options.seconds, run.options.names, _totals(run, log, findings), verdicts, dict(not_run),
        findings, longest,
    )  # fmt: skip


def checks(record: Record, log: FinalLog, excused: Excused) -> Iterator[Finding]:
    """All checks of the record."""
    calls = record.calls
    yield from check_writes.lost(calls, log)
    yield from check_writes.twice(log)
    yield from check_writes.repeats(calls)
    yield from check_writes.holes(log)
    yield from check_writes.partial(calls, log)
    yield from check_writes.inversions(calls, log)
    yield from check_writes.refused_but_stored(calls, log)
    yield from check_reads.uncommitted(record.sightings, calls, log)
    yield from check_reads.stale(calls)
    yield from check_reads.incomplete(calls, log)
    yield from check_reads.foreign(calls)
    yield from check_reads.streams(record.streams, log)
    yield from check_reads.audits(record.audits, log)
    yield from check_reads.tasks(list(record.tasks.values()))
    yield from check_time.late(calls, excused)


def window_of(done: "Injected") -> Window:
    """A fault's time as the checks take it."""
    fault, recovery = done.fault, done.recovery
    felt_s = GRACE_S
    if recovery is not None and recovery.projector_s is not None and recovery.compressor_s is not None:
        felt_s = recovery.healed_s - done.healed_s + max(recovery.projector_s, recovery.compressor_s) + WHOLE_S
    codes = OLDER_CODES if FENCED_ROW in fault.row else frozenset[str]()
    return Window(
        fault.name, fault.row, done.began_s, done.entered_s, done.leaving_s, done.healed_s,
        writes=fault.writes, reads=fault.reads, warm_reads=fault.warm_reads, codes=codes, felt_s=min(felt_s, GRACE_S),
    )  # fmt: skip


def excuse(watch: Watch, windows: list[Window]) -> Excused:
    """How many seconds of a call are not the system's fault: infinite at a replica that was killed, stopped or leaving
    meanwhile (a connection kept from before breaks later), else what this process itself was late."""
    cuts = {
        door: [w for w in windows if CUT_ROW in w.row and (w.name in READ_CUTS) == (door == "query-1")] for door in CUT
    }

    def excused(call: Call) -> float:
        since_s = call.started_s - (IDLE_S + 1.0 if call.outcome == NO_ANSWER else 0.0)
        if call.code == CANCELLED or not watch.was_up(call.replica, since_s, call.ended_s):
            return float("inf")
        if any(window.touches(call) for window in cuts.get(call.replica, ())):
            return float("inf")  # the wire to this replica is what is cut
        return watch.own_delay_s(call.started_s, call.ended_s)

    return excused


def _verdict(
    run: "Run", number: int, windows: list[Window], excused: Excused, moves: list[tuple[float, Takeover]]
) -> FaultVerdict:
    window, done = windows[number], run.injected[number]
    write, read = columns(window, windows, run.ground.record.calls, excused)
    until_s = min([w.began_s for w in windows if w.began_s > window.healed_s], default=float("inf"))
    felt_until_s = min(window.healed_s + GRACE_S, until_s)
    errors = unexpected_errors(
        [line for line in run.watch.said if window.began_s <= line.at_s < felt_until_s],
        [w.row for w in windows if w.began_s <= felt_until_s and w.healed_s + GRACE_S >= window.began_s],
    )
    return FaultVerdict(
        window=window, write=write, read=read, recovery=done.recovery, next_s=until_s, recover_s=run.options.recover_s,
        deaths=done.deaths, exits=done.exits, errors=errors, failed=done.failed,
        takeovers=[move for at_s, move in moves if window.began_s <= at_s <= window.healed_s],
    )  # fmt: skip


def unexpected_errors(said: list[Said], rows: list[str]) -> Counter[str]:
    """Lines at level error by service and event, but those that a fault of these rows asks for."""
    expected = {event for word, events in EXPECTED_ERRORS.items() for row in rows if word in row for event in events}
    found: Counter[str] = Counter()
    for line in said:
        is_error = line.level in ("error", "critical") or line.event.startswith("Traceback")
        if is_error and line.event not in expected:
            found[f"{line.replica.rpartition('-')[0]}: {line.event[:80]}"] += 1
    return found


def _totals(run: "Run", log: FinalLog, findings: list[Finding]) -> Totals:
    calls = run.ground.record.calls
    acknowledged = {(c.tenant, p.session, p.turn_id) for c in calls for p in c.placed if p.version}
    seconds = max((c.ended_s for c in calls), default=0.0) - min((c.started_s for c in calls), default=0.0)
    return Totals(
        faults=len(run.injected), calls=len(calls), acknowledged=len(acknowledged), seconds=seconds,
        events=len(log.rows), sightings=len(run.ground.record.sightings),
        streamed=sum(len(trace.events) for trace in run.ground.record.streams),
        tasks=len(run.ground.record.tasks), by_check=dict(Counter(f.check for f in findings)),
        server_deaths=dict(run.world.server_deaths), own_delay_s=run.watch.own_delay_s(0.0, float("inf")),
    )  # fmt: skip


__all__ = ["checks", "excuse", "judged", "unexpected_errors", "window_of"]
