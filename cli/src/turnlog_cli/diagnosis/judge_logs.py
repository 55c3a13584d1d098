"""What follows a log (stream, read models, compressor) and who leads: what was seen → findings. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turnlog_cli.diagnosis.findings import Finding, Place, bad, duration, note, well

PLACE: Place = "lags"
_ROLES = {
    "relay": ("the relay", "ingest", "logs/api.log"),
    "projector": ("the projector", "the projector", "logs/projector.log"),
    "compressor": ("the compressor", "the compressor", "logs/compressor.log"),
}
"""By role: how it is called, which service it runs in, where `turnlog up` keeps its log."""
_WITHOUT = {
    "relay": "Writes are stored. Read models, summaries and live streams follow PostgreSQL, up to a second later.",
    "projector": "Nothing is lost. Read models stand still: what is newer is read from PostgreSQL, slower.",
    "compressor": "Nothing is lost. No new summaries are made: contexts hold the last ones and more turns verbatim.",
}


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a consumer is. `waits_s`: the age of the oldest event it has not had, None when there is none (or it
    cannot be told); `moves`: whether it went on while it was looked at."""

    log: str
    position: int
    head: int
    moves: bool = True
    waits_s: float | None = None

    def facts(self) -> dict[str, object]:
        """For machines."""
        found: dict[str, object] = {
            "log": self.log,
            "position": self.position,
            "head": self.head,
            "lag": self.head - self.position,
        }
        return found if self.waits_s is None else found | {"lag_s": round(self.waits_s, 1)}

    def behind(self) -> str:
        """`at position 3 of 5, 2 behind (for 4 s)`."""
        age = "" if self.waits_s is None else f", the oldest for {duration(self.waits_s)}"
        return f"at position {self.position:,} of {self.head:,}, {self.head - self.position:,} behind{age}"


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads a piece of work: `held` whether anybody does, `replicas` how many would."""

    role: str
    log: str
    held: bool
    replicas: int


def judge_stream(seen: Followed, stream: str, *, agrees: bool) -> Finding:
    """The log's stream: how far the relay is, and whether its end is PostgreSQL's (else writes are refused)."""
    fenced = seen.position > seen.head or not agrees
    facts = seen.facts() | {"fenced": fenced}
    if fenced:
        how = f"is AHEAD of PostgreSQL's {seen.head:,}" if seen.position > seen.head else "DIFFERS from PostgreSQL"
        return bad(
            "stream",
            f"{stream} at position {seen.position:,} {how}: {seen.log} is fenced",
            "PostgreSQL went back to an older state and lost acknowledged turns that JetStream still has. Writes to "
            f"{seen.log} are refused with 503 `log_fenced` so that they do not take the places of these.",
            f"put the right database back: the fence lifts by itself. Or accept the loss: `turnlog logs accept "
            f"{seen.log}`",
            "a-fenced-log",
            **facts,
        )
    if seen.position == seen.head:
        return well("stream", f"{stream} at position {seen.position:,}, no lag", **facts)
    if seen.moves:
        return note(
            "stream", f"{stream} {seen.behind()}", _WITHOUT["relay"], "wait: the relay catches up", PLACE, **facts
        )
    return _stands_still("stream", f"{stream} {seen.behind()}", "relay", facts)


def judge_no_stream(log: str, head: int) -> Finding:
    """The log has no stream."""
    text = f"{log} has no stream yet"
    advice = "nothing, if no event was stored yet; else see that ingest runs: its relay makes the stream"
    if head == 0:
        return note("stream", text, "An empty log needs none.", advice, PLACE, log=log, fenced=False)
    return note("stream", text, _WITHOUT["relay"], advice, PLACE, log=log, fenced=False)


def judge_read_models(
    seen: Followed, generations: Sequence[int], partitions: int, unready: int, versions: Sequence[int]
) -> Finding:
    """The log's read models: how far the projector is, and whether all may be read."""
    what = f"{seen.log}: generation {max(generations)}"
    facts = seen.facts() | {
        "generations": list(generations),
        "partitions": partitions,
        "unready_partitions": unready,
        "projection_versions": list(versions),
    }
    if seen.position > seen.head:
        return bad(
            "read models",
            f"{what} at position {seen.position:,} is AHEAD of the log's {seen.head:,}",
            "PostgreSQL went back to an older state. Reads may show turns that the log has lost.",
            "put the right database back; or, once the loss is accepted (`turnlog logs accept`), they are made anew",
            "a-fenced-log",
            **facts,
        )
    if seen.position < seen.head and not seen.moves:
        return _stands_still("read models", f"{what} {seen.behind()}", "projector", facts)
    if unready:
        return note(
            "read models",
            f"{what}: {unready} of {partitions} partitions are not complete",
            "PostgreSQL answers for their sessions, slower; every answer is right.",
            "wait: the projector replays them. If it takes minutes, see its log (logs/projector.log)",
            PLACE,
            **facts,
        )
    if seen.position < seen.head:
        text = f"{what} {seen.behind()}"
        return note("read models", text, _WITHOUT["projector"], "wait: the projector catches up", PLACE, **facts)
    return well("read models", f"{what} at position {seen.position:,}, no lag", **facts)


def judge_compressor(seen: Followed) -> Finding:
    """The compressor's checkpoint. It stays before the oldest session that waits for a summary: that is no lag."""
    facts = seen.facts()
    if seen.position > seen.head:
        return bad(
            "compressor",
            f"{seen.log}: checkpoint at position {seen.position:,} is AHEAD of the log's {seen.head:,}",
            "PostgreSQL went back to an older state; the compressor drops what it knows of what is gone.",
            "put the right database back, see the stream above",
            "a-fenced-log",
            **facts,
        )
    if seen.position == seen.head:
        return well("compressor", f"{seen.log}: checkpoint at position {seen.position:,}, no session waits", **facts)
    text = f"{seen.log}: checkpoint at position {seen.position:,} of {seen.head:,}: "
    text += "sessions since then may wait for a summary"
    return well("compressor", text, **facts)


def judge_leaders(leaders: Sequence[Leader]) -> list[Finding]:
    """Whether each log has its relay, projector and compressor."""
    found: list[Finding] = []
    for log in dict.fromkeys(leader.log for leader in leaders):
        own = [leader for leader in leaders if leader.log == log]
        missing = [*_missing(own)]
        facts = {"log": log, **{f"{leader.role}_replicas": leader.replicas for leader in own}}
        if not missing:
            told = ", ".join(f"{leader.role} (of {leader.replicas})" for leader in own)
            found.append(well("leaders", f"{log}: {told}", **facts))
        found += missing
    return found


def _missing(leaders: Sequence[Leader]) -> Iterator[Finding]:
    for leader in leaders:
        if leader.held:
            continue
        name, service, log_file = _ROLES[leader.role]
        waiting = f"; {leader.replicas} wait for it" if leader.replicas else ""
        yield bad(
            "leaders",
            f"{leader.log}: nobody is {name}{waiting}",
            _WITHOUT[leader.role],
            f"start {service}, or see why it does not stay up ({log_file} for `turnlog up`); is {leader.log} left out "
            "by TURNLOG_LOGS?",
            "leaders",
            log=leader.log,
            role=leader.role,
            replicas=leader.replicas,
        )


def _stands_still(subject: str, text: str, role: str, facts: dict[str, object]) -> Finding:
    name, service, log_file = _ROLES[role]
    return bad(
        subject,
        f"{text}, and it does not move",
        _WITHOUT[role],
        f"see why {name} stands still: its log ({log_file} for `turnlog up`), and the servers here; without `turnlog "
        f"up`, see that {service} runs",
        PLACE,
        **facts,
    )
