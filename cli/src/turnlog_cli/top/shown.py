"""A view → lines of text, in parts with a name each. Pure.

The same lines stand in a terminal (`app.py`) and are printed once (`command.py`); what does not fit is cut at the edge.
"""

from dataclasses import dataclass

from rich.text import Text

from turnlog_cli.escape import one_line
from turnlog_cli.top.history import History
from turnlog_cli.top.notes import place
from turnlog_cli.top.numbers import count, each, percent, rate, seconds, size
from turnlog_cli.top.view import Lag, LogView, Provider, Replica, Server, Session, View

LABEL, LOGS = 10, "Logs"
_POSITION, _LAG, _LAG_MAX = 12, 14, 28
_STATUS_STYLES = {"2xx": "green", "3xx": "", "4xx": "yellow", "429": "yellow", "5xx": "red"}
_BARS, _VALUE = 12, 6


@dataclass(frozen=True)
class Room:
    """How much may be shown: columns, logs and newest sessions."""

    columns: int = 100
    logs: int = 100
    sessions: int = 1


@dataclass(frozen=True)
class Part:
    """A part of the screen. The first line of `LOGS` is its header, the others begin with a log's name."""

    name: str
    lines: tuple[Text, ...]


def parts_of(view: View, room: Room, chosen: str = "", history: History | None = None) -> list[Part]:
    """All parts, in the order they are read. `chosen` is the log whose history is drawn."""
    return [
        _requests(view),
        _writes(view, history),
        _reads(view, history),
        _summaries(view),
        _logs(view, room, chosen, history),
        _callers(view),
        _replicas(view, room),
        _servers(view),
        _sessions(view, room),
    ]


def labelled(part: Part, name: str | None = None) -> list[Text]:
    """The part's lines with its name (or another) before the first one; of the logs each line has a name already."""
    names = [part.name if name is None else name, *[""] * (len(part.lines) - 1)]
    named = 1 if part.name == LOGS else len(part.lines)
    first = [
        Text.assemble((f"{name:<{LABEL}} ", "bold"), line)
        for name, line in zip(names[:named], part.lines, strict=False)
    ]
    return [*first, *part.lines[named:]]


def _line(*facts: tuple[str, str] | tuple[str, str, str]) -> Text:
    """`name value` for each fact, the value in its style; an empty name is left out. Values keep some room: what
    follows a number that grows stays in its place."""
    line, room = Text(no_wrap=True, overflow="ellipsis"), 0
    for name, value, *style in facts:
        if line:
            line.append(" " * (2 + room))
        if name:
            line.append(f"{name} ", "dim")
        line.append(value, style[0] if style else "")
        room = max(0, _VALUE - len(value))
    return line


def _requests(view: View) -> Part:
    found = view.requests
    classes = {name: found.by_status.get(name, 0.0) for name in ("2xx", "4xx", "429", "5xx")} | found.by_status
    shown = [(name, rate(value), _STATUS_STYLES.get(name, "") if value else "") for name, value in classes.items()]
    lines = [_line(("", rate(found.rate), "bold"), *shown, ("running", count(found.in_progress)))]
    if len(found.by_service) > 1:
        lines.append(_line(*((name, rate(value)) for name, value in sorted(found.by_service.items()))))
    return Part("Requests", tuple(lines))


def _writes(view: View, history: History | None) -> Part:
    found = view.writes
    first = _line(
        ("turns", rate(found.turns), "bold"),
        *_bars("turns", history),
        ("store p50", seconds(found.store_p50_s)),
        ("p99", seconds(found.store_p99_s)),
    )
    second = _line(
        ("commit p99", seconds(found.commit_p99_s)),
        ("of", f"{count(found.batch_events)} events"),
        ("wait p99", seconds(found.wait_p99_s)),
        ("queued", count(found.queued_events)),
    )
    third = [("refused", rate(found.refused), "bold red")] if found.refused else []
    third += [("duplicates", rate(found.duplicates), "")] if found.duplicates else []
    return Part("Writes", (first, second, *([_line(*third)] if third else [])))


def _reads(view: View, history: History | None) -> Part:
    found = view.reads
    first = _line(
        ("reads", rate(found.rate), "bold"),
        *_bars("reads", history),
        ("read  p50", seconds(found.p50_s)),
        ("p99", seconds(found.p99_s)),
    )
    second = _line(("from Redis", percent(found.from_redis)), ("live streams", count(found.streams)))
    if found.fallbacks:
        second.append_text(_line(("  from PostgreSQL:", each(found.fallbacks))))
    return Part("Reads", (first, second))


def _bars(name: str, history: History | None) -> list[tuple[str, str, str]]:
    return [] if history is None else [("", history.drawn(name, _BARS), "cyan")]


def _logs(view: View, room: Room, chosen: str, history: History | None) -> Part:
    if not view.logs:
        return Part(LOGS, (_line(("", "none known yet", "dim")),))
    names = [log.log for log in view.logs]
    chosen = chosen if chosen in names else names[0]
    first = max(0, min(names.index(chosen) - room.logs + 1, len(names) - room.logs))
    shown = view.logs[first : first + room.logs]
    consumers = ("relay", "projector", "compressor", "streams")
    width = min(_LAG_MAX, max(_LAG, (room.columns - LABEL - 1 - _POSITION) // len(consumers)))
    head = _cells([f"{'position':>{_POSITION}}", *(f"{name:>{width}}" for name in consumers)], "dim")
    lines = [head]
    for log in shown:
        lines.append(_log_row(log, width, mark=log.log == chosen and len(names) > 1))
        if history is not None and log.log == chosen:
            bars = [f"{history.drawn(f'{log.log}/{name}', width - 2):>{width}}" for name in consumers]
            lines.append(Text.assemble(" " * (LABEL + 1 + _POSITION), *((bar, "cyan") for bar in bars)))
        lines += [Text(f"{'':{LABEL}} {said}", "bold red") for said in _of_log(log)]
    if len(shown) < len(names):
        lines.append(_line(("", f"{'':{LABEL}} {len(names) - len(shown)} more: l goes on to the next", "dim")))
    return Part(LOGS, tuple(lines))


def _log_row(log: LogView, width: int, *, mark: bool) -> Text:
    name = log.log if len(log.log) <= LABEL else log.log[: LABEL - 1] + "…"
    row = Text(f"{name:<{LABEL}} ", "bold reverse" if mark else "bold", no_wrap=True, overflow="ellipsis")
    position = "–" if log.position is None else f"{log.position:,}"
    row.append(f"{position:>{_POSITION}}")
    for role, lag in log.lags.items():
        if not log.led.get(role, True):
            row.append(f"{'no leader':>{width}}", "bold red")
        else:
            row.append(f"{_lag(lag):>{width}}", "yellow" if (lag.seconds or 0) >= 1 else "")
    return row


def _of_log(log: LogView) -> list[str]:
    said = ["fenced: writes are refused"] if log.fenced else []
    if log.unreadable_partitions:
        said.append(f"{log.unreadable_partitions} partitions are read from PostgreSQL")
    if log.rebuilding_at is not None:
        said.append(f"a rebuild is at position {log.rebuilding_at:,}")
    return said


def _lag(lag: Lag) -> str:
    if lag.events is None:
        return "–"
    return "0" if not lag.events else f"{count(lag.events)} · {seconds(lag.seconds)}"


def _cells(cells: list[str], style: str) -> Text:
    return Text("".join(cells), style, no_wrap=True, overflow="ellipsis")


def _summaries(view: View) -> Part:
    found = view.summaries
    first = _line(
        ("", rate(found.rate), "bold"),
        ("sessions waiting", count(found.pending)),
        ("made in p99", seconds(found.made_p99_s)),
        *(((("", each(found.outcomes)),)) if found.outcomes else ()),
    )
    return Part("Summaries", (first, *(line for provider in found.providers for line in _provider(provider))))


def _provider(found: Provider) -> list[Text]:
    first = _line(
        ("", found.name, "bold"),
        ("breaker", found.breaker, "" if found.breaker == "closed" else "bold red"),
        ("calls", rate(found.calls)),
        ("p99", seconds(found.call_p99_s)),
    )
    dollars = [] if found.dollars_per_hour is None else [("", f"${found.dollars_per_hour:,.2f} an hour")]
    second = _line(("tokens in", rate(found.tokens_in)), ("out", rate(found.tokens_out)), *dollars)
    failed = [_line(("errors", each(found.errors), "bold red"))] if found.errors else []
    return [first, second, *failed]


def _callers(view: View) -> Part:
    limited, turned = view.callers.limited, view.callers.turned_away
    facts: list[tuple[str, str] | tuple[str, str, str]] = [
        ("refused by limits", each(limited) or "0/s", "yellow" if limited else ""),
        ("turned away", each(turned) or "0/s", "yellow" if turned else ""),
    ]
    if view.callers.alone:
        facts.append(("", "limits counted alone", "bold red"))
    if view.callers.unchecked:
        facts.append(("", "keys unchecked", "bold red"))
    return Part("Callers", (_line(*facts),))


def _replicas(view: View, room: Room) -> Part:
    width = max((len(place(replica.url)) for replica in view.replicas), default=0)
    return Part("Replicas", tuple(_replica(replica, min(width, room.columns // 2)) for replica in view.replicas))


def _replica(replica: Replica, width: int) -> Text:
    where = f"{place(replica.url):<{width}}"
    if replica.away:
        return _line(("", where), ("", f"away for {seconds(replica.away_s)}: {replica.away}", "bold red"))
    versions = sorted(set(replica.services.values()))
    if len(versions) == 1:
        return _line(("", where), ("", ", ".join(replica.services), "green"), ("", versions[0]))
    told = ", ".join(f"{name} {version}" for name, version in replica.services.items())
    return _line(("", where), ("", told or "up", "green"))


def _servers(view: View) -> Part:
    if view.stores.unasked:
        return Part("Servers", (_line(("", view.stores.unasked, "dim")),))
    if not view.stores.servers:
        return Part("Servers", (_line(("", "being asked", "dim")),))
    return Part("Servers", tuple(map(_server, view.stores.servers)))


def _server(server: Server) -> Text:
    name = f"{server.name:<11}"
    if server.away:
        return _line(("", name), ("", f"away: {server.away}", "bold red"))
    told = [("", name, "green"), ("", server.version)]
    for fact, value in server.facts.items():
        words = fact.removesuffix("_bytes").replace("_", " ")
        told.append((words, size(value) if fact.endswith("_bytes") else count(value)))
    return _line(*told)  # type: ignore[arg-type]


def _sessions(view: View, room: Room) -> Part:
    found = view.stores.sessions
    if found is None:
        return Part("Sessions", (_line(("", "not known here" if view.stores.unasked else "–", "dim")),))
    total = f"about {count(found.total)}" if found.about else count(found.total)
    active = f"{count(found.active)}{' or more' if found.at_least else ''}"
    first = _line(("", total, "bold"), ("active in the last minute", active))
    tenants = {session.tenant for session in found.newest}
    newest = (_session(session, several=len(tenants) > 1) for session in found.newest[: room.sessions])
    return Part("Sessions", (first, *newest))


def _session(session: Session, *, several: bool) -> Text:
    facts = [
        ("", one_line(session.session_id)),
        ("version", count(session.version)),
        ("", f"{_ago(session.age_s)} ago"),
    ]
    if several:
        facts.append(("tenant", one_line(session.tenant)))
    return _line(*facts)


def _ago(age_s: float) -> str:
    return f"{round(age_s)} s" if age_s < 99.5 else seconds(age_s)
