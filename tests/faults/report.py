"""The report of a run: a table a fault and component, totals, and the first offending calls spelled out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.check import Finding
from faults.check_faults import Column, Window
from faults.recovery import Recovery
from faults.watch import Takeover

SHOWN = 5
CHECKS = (
    "lost", "twice", "holes", "partial", "inversions", "refused but stored", "uncommitted", "stale", "incomplete",
    "foreign", "streams", "audits", "tasks", "late", "relay", "verify", "rebuild", "cold", "quiet", "outside",
    "harness",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of a run."""

    faults: int
    calls: int
    acknowledged: int
    seconds: float
    events: int
    sightings: int
    streamed: int
    tasks: int
    by_check: Mapping[str, int]
    server_deaths: Mapping[str, int]
    own_delay_s: float


@dataclass(frozen=True, slots=True)
class FaultVerdict:
    """One fault: what was seen of each component. `next_s` is when the next fault began."""

    window: Window
    write: Column
    read: Column
    recovery: Recovery | None
    next_s: float
    recover_s: float
    deaths: int
    errors: Counter[str]
    exits: Sequence[str] = ()
    failed: str = ""
    takeovers: Sequence[Takeover] = ()

    @property
    def green(self) -> bool:
        """Whether everything was as it may be."""
        parts = (self.write.green, self.read.green, self.behind("projector")[0], self.behind("compressor")[0])
        return all(parts) and not (self.deaths or self.exits or self.errors or self.failed)

    def behind(self, component: str) -> tuple[bool, str]:
        """Whether projector or compressor caught up in time after the healing, and in words."""
        took_s: float | None = getattr(self.recovery, f"{component}_s", None)
        given_s = min(self.recover_s, self.next_s - self.window.healed_s)
        if took_s is not None and took_s <= given_s:
            return True, f"whole after {took_s:.2f} s"
        if given_s < self.recover_s:
            return True, f"not within {given_s:.1f} s, when the next fault began"
        return False, f"not whole within {given_s:.0f} s"


@dataclass(slots=True)
class Report:
    """All of it. Green means that nothing was found and every fault was green."""

    seed: int
    seconds: float
    names: tuple[str, ...]
    totals: Totals
    verdicts: Sequence[FaultVerdict]
    not_run: Mapping[str, str]
    findings: Sequence[Finding]
    longest: Mapping[str, str]
    reds: list[str] = field(default_factory=list)

    @property
    def green(self) -> bool:
        """Whether the run passed."""
        return not self.findings and all(verdict.green for verdict in self.verdicts)

    @property
    def command(self) -> str:
        """How to repeat it."""
        only = f" ONLY={','.join(self.names)}" if self.names else ""
        return f"make faults MINUTES={self.seconds / 60:g} SEED={self.seed}{only}"

    def markdown(self) -> str:
        """The report to read."""
        lines = [f"# Faults: {'GREEN' if self.green else 'RED'}", "", *self._totals(), ""]
        lines += ["| fault | write API | read API | projector | compressor | errors | |", "| --- " * 7 + "|"]
        lines += [self._row(verdict) for verdict in self.verdicts]
        lines += [f"| {name} | | | | | | NOT RUN: {why} |" for name, why in self.not_run.items()]
        lines += ["", "| check | found |", "| --- | --- |"]
        lines += [f"| {check} | {self.totals.by_check.get(check, 0)} |" for check in CHECKS]
        lines += ["", "Longest calls:", "", *(f"- {told}" for told in self.longest.values())]
        if not self.green:
            lines += ["", "## What is red", "", *(f"- {line}" for line in self.offences())]
        return "\n".join(lines) + "\n"

    def offences(self) -> list[str]:
        """The first offending calls of each fault and the first findings of each check."""
        out: list[str] = []
        for verdict in self.verdicts:
            name = verdict.window.name
            wrong = [*verdict.write.wrong[:SHOWN], *verdict.read.wrong[:SHOWN]]
            out += [f"{name}: not allowed: {call.told()}" for call in wrong]
            out += [f"{name}: {text}" for text in _told_besides(verdict)]
        shown: Counter[str] = Counter()
        for finding in self.findings:
            shown[finding.check] += 1
            if shown[finding.check] <= SHOWN:
                out.append(f"{finding.check}: {finding.where}: {finding.what}")
        return out + [f"{check}: … and {n - SHOWN} more" for check, n in shown.items() if n > SHOWN]

    def write(self, folder: Path) -> None:
        """Write `faults-report.md` and `faults-report.json`."""
        (folder / "faults-report.md").write_text(self.markdown())
        (folder / "faults-report.json").write_text(json.dumps(self._facts(), indent=1))

    def _totals(self) -> list[str]:
        totals = self.totals
        rate = totals.acknowledged / totals.seconds if totals.seconds else 0.0
        deaths = ", ".join(f"{name} {n}" for name, n in totals.server_deaths.items() if n) or "none"
        return [
            f"{totals.faults} faults in {totals.seconds:.0f} s, {totals.calls} calls, {totals.acknowledged} turns "
            f"acknowledged ({rate:.0f}/s), {totals.events} events, {totals.sightings} turns seen by readers, "
            f"{totals.streamed} events streamed, {totals.tasks} compressions asked for. This process was late by at "
            f"most {totals.own_delay_s:.2f} s; servers that died unasked: {deaths}.",
            "",
            f"Repeat: `{self.command}`",
        ]

    def _row(self, verdict: FaultVerdict) -> str:
        errors = ", ".join(f"{what} ×{n}" for what, n in verdict.errors.items())
        deaths = f"{verdict.deaths} exits unasked" if verdict.deaths else ""
        moved = ", ".join(_told_takeover(move) for move in verdict.takeovers)
        last = "green" if verdict.green else "**RED**"
        cells = [
            verdict.window.name, _column(verdict.write), _column(verdict.read), verdict.behind("projector")[1],
            verdict.behind("compressor")[1], "; ".join(filter(None, (errors, deaths, moved, verdict.failed))), last,
        ]  # fmt: skip
        return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"

    def _facts(self) -> dict[str, object]:
        return {
            "green": self.green,
            "seed": self.seed,
            "command": self.command,
            "totals": {name: getattr(self.totals, name) for name in Totals.__slots__},
            "faults": [
                {
                    "name": v.window.name,
                    "row": v.window.row,
                    "green": v.green,
                    "writes": dict(v.write.outcomes),
                    "reads": dict(v.read.outcomes),
                    "longest": [c.told() for c in (*v.write.longest.values(), *v.read.longest.values())],
                    "projector": v.behind("projector")[1],
                    "compressor": v.behind("compressor")[1],
                    "exits": v.deaths,
                    "errors": dict(v.errors),
                    "takeovers": [_told_takeover(move) for move in v.takeovers],
                }
                for v in self.verdicts
            ],
            "not_run": dict(self.not_run),
            "red": self.offences(),
            "longest": dict(self.longest),
        }


def _column(column: Column) -> str:
    counts = ", ".join(f"{n} {outcome}" for outcome, n in column.outcomes.most_common())
    longest_s = max((call.took_s for call in column.longest.values()), default=0.0)
    wrong = f", {len(column.wrong)} NOT ALLOWED" if column.wrong else ""
    return f"{counts or 'no calls'}{wrong}; longest {longest_s:.2f} s"


def _told_besides(verdict: FaultVerdict) -> list[str]:
    told = [
        f"{component}: {verdict.behind(component)[1]}"
        for component in ("projector", "compressor")
        if not verdict.behind(component)[0]
    ]
    told += [f"{n} × error in the log of {what}" for what, n in verdict.errors.items()]
    if verdict.deaths:
        told.append(f"{verdict.deaths} processes ended that nobody had asked to")
    if verdict.exits:
        told.append(f"told to stop, ended with status: {', '.join(verdict.exits)}")
    return told + ([f"could not be made or healed: {verdict.failed}"] if verdict.failed else [])


def _told_takeover(move: Takeover) -> str:
    took = f"{move.took_s:.2f} s" if move.took_s is not None else "nobody took over"
    return f"{move.what}: {move.from_replica} → {move.to_replica or '?'} {took}"
