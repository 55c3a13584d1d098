"""What the harness itself watches while the load runs: which replicas could answer, what they wrote to their logs (at
the harness's clock, since theirs may be faked), and how late this process is itself."""

import asyncio
import socket
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

LOOK_S = 0.05
LEADS = {"relay_leading": "relay", "projector_leads": "projector", "compressor_leads": "compressor"}


class Watched(Protocol):
    """A replica's process."""

    @property
    def name(self) -> str: ...
    @property
    def alive(self) -> bool: ...
    @property
    def pid(self) -> int: ...
    @property
    def log_path(self) -> Path: ...
    @property
    def port(self) -> int: ...

    down: bool
    paused: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a replica's log."""

    at_s: float
    replica: str
    event: str
    level: str
    facts: Mapping[str, Any]


class Watch:
    """Looks every 50 ms until it is cancelled."""

    def __init__(self, replicas: Mapping[str, Watched]) -> None:
        self._replicas = replicas
        self._read: dict[str, int] = defaultdict(int)
        self.said: list[Said] = []
        self.changes: dict[str, list[tuple[float, int]]] = {name: [] for name in replicas}
        """When each replica's state changed: (time, pid while it could answer, else 0)."""
        self._listening: set[int] = set()
        self._looks: list[float] = []
        self._late: list[float] = []

    async def run(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            before = time.monotonic()
            await asyncio.sleep(LOOK_S)
            self._looks.append(before)
            self._late.append(time.monotonic() - before - LOOK_S)

    def look(self) -> None:
        """Take in what changed."""
        now_s = time.monotonic()
        for name, replica in self._replicas.items():
            state = replica.pid if replica.alive and not replica.paused and not replica.down else 0
            if state and state not in self._listening and not self._listens(replica):
                state = 0  # started, but not yet ready to be asked
            if not self.changes[name] or self.changes[name][-1][1] != state:
                self.changes[name].append((now_s, state))
            self._read_log(now_s, name, replica.log_path)

    def was_up(self, replica: str, from_s: float, to_s: float) -> bool:
        """Whether the same process of a replica could answer all the time."""
        changes = self.changes.get(replica, [])
        first = bisect_right(changes, (from_s - LOOK_S, 1 << 62)) - 1
        last = bisect_right(changes, (to_s + LOOK_S, 1 << 62)) - 1
        return first == last and first >= 0 and changes[first][1] != 0

    def own_delay_s(self, from_s: float, to_s: float) -> float:
        """How long this process kept its own callers waiting in a span, at most."""
        start = max(0, bisect_right(self._looks, from_s) - 1)
        return max(self._late[start : bisect_right(self._looks, to_s)], default=0.0)

    def _listens(self, replica: Watched) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.02)
            if probe.connect_ex(("127.0.0.1", replica.port)) == 0:
                self._listening.add(replica.pid)
        return replica.pid in self._listening

    def _read_log(self, now_s: float, name: str, path: Path) -> None:
        try:
            if path.stat().st_size <= self._read[name]:
                return
            with path.open("rb") as file:
                file.seek(self._read[name])
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        self._read[name] += whole
        for line in data[:whole].splitlines():
            self.said.append(_said(now_s, name, line))


def _said(now_s: float, name: str, line: bytes) -> Said:
    try:
        facts = orjson.loads(line)
        return Said(now_s, name, str(facts.get("event", "")), str(facts.get("level", "")), facts)
    except (ValueError, AttributeError):
        return Said(now_s, name, line.decode(errors="replace"), "raw", {})


@dataclass(frozen=True, slots=True)
class Takeover:
    """A leader that went away, and how long it took until another led (None: nobody within the run)."""

    what: str
    from_replica: str
    to_replica: str
    took_s: float | None


def takeovers(said: Sequence[Said], changes: Mapping[str, Sequence[tuple[float, int]]]) -> list[tuple[float, Takeover]]:
    """For each time that a leader went away, when the next one led. In order of time."""
    leads: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in said:
        if kind := LEADS.get(line.event):
            leads[f"{kind}/{line.facts.get('log', '')}"].append((line.at_s, line.replica))
    found: list[tuple[float, Takeover]] = []
    for what, terms in leads.items():
        for number, (since_s, replica) in enumerate(terms):
            until_s = terms[number + 1][0] if number + 1 < len(terms) else float("inf")
            gone_s = next((at for at, pid in changes.get(replica, ()) if since_s < at < until_s and pid == 0), None)
            if gone_s is None:
                continue
            after = terms[number + 1] if number + 1 < len(terms) else None
            took_s = after[0] - gone_s if after else None
            found.append((gone_s, Takeover(what, replica, after[1] if after else "", took_s)))
    return sorted(found, key=lambda item: item[0])
