"""What is wrong in a view, in words, the worst first; what to do about it is said by `turnlog doctor`. Pure."""

from collections.abc import Iterator

from turnlog_cli.top.numbers import count, each, rate, seconds
from turnlog_cli.top.view import LogView, Replica, View

LATE_S = 30.0
FULL_EVENTS = 10_000


def notes_of(view: View) -> Iterator[str]:
    """One sentence for each trouble."""
    yield from map(_away, (replica for replica in view.replicas if replica.away))
    for server in view.stores.servers:
        if server.away:
            yield f"{server.name} is away: {server.away}"
    if not any(not replica.away for replica in view.replicas):
        return  # all below would be guesses
    for log in view.logs:
        yield from _of_log(log)
    if failed := view.requests.by_status.get("5xx"):
        yield f"{rate(failed)} requests fail with a 5xx"
    if view.writes.refused:
        yield f"{rate(view.writes.refused)} writes are refused: the queue is full"
    for provider in view.summaries.providers:
        if provider.breaker != "closed":
            yield f"the breaker of {provider.name} is {provider.breaker}: summaries are extractive meanwhile"
        if provider.errors:
            yield f"{provider.name} fails: {each(provider.errors)}"
    if view.callers.alone:
        yield "limits are counted by each process alone: Redis is away"
    if view.callers.unchecked:
        yield "API keys are taken as last known: PostgreSQL is away"


def _away(replica: Replica) -> str:
    since = f" for {seconds(replica.away_s)}" if replica.away_s else ""
    return f"{place(replica.url)} does not answer{since}: {replica.away}"


def _of_log(log: LogView) -> Iterator[str]:
    if log.fenced:
        yield f"log {log.log} is fenced, writes to it are refused: JetStream knows events that PostgreSQL does not"
    for role, led in log.led.items():
        if not led:
            yield f"nobody leads the {role} of log {log.log}"
    for name, lag in log.lags.items():
        if lag.seconds is not None and lag.seconds > LATE_S:
            yield f"the {name} of log {log.log} is {seconds(lag.seconds)} behind ({count(lag.events)} events)"
    if log.queued_events > FULL_EVENTS:
        yield f"{count(log.queued_events)} events wait for a commit in log {log.log}"
    if log.unreadable_partitions:
        yield f"{log.unreadable_partitions} partitions of log {log.log} are read from PostgreSQL while replayed"


def place(url: str) -> str:
    """An address without what every address has."""
    return url.removeprefix("http://").removesuffix("/metrics").rstrip("/")
