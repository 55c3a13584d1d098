"""What the clients of a run share: the replicas, the sessions there are, and how far each is acknowledged."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from faults.client import Client, Deadlines, Doors, Request
from faults.record import Call, Record

REPEATABLE_REQUESTS = 500


@dataclass(frozen=True, slots=True)
class Pace:
    """How much load: workers of each kind and tenant, and the factor on all their pauses."""

    singles: int = 3
    shared: int = 3
    readers: int = 2
    streams: int = 2
    slowness: float = 1.0
    session_turns: int = 300
    """A writer starts another session after so many turns."""


@dataclass(slots=True)
class Ground:
    """Shared by all workers of a run. `stop` ends the load, `give_up` lets go of what is still retried then."""

    ingest: Doors
    query: Doors
    logs: Mapping[str, str]
    """The log of each tenant."""
    record: Record
    seed: int
    pace: Pace = field(default_factory=Pace)
    deadlines: Deadlines = field(default_factory=Deadlines)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    give_up: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: dict[tuple[str, str], int] = field(default_factory=dict)
    """The highest acknowledged version of each session."""
    recent: dict[str, deque[str]] = field(default_factory=dict)
    """The sessions of each tenant that were written to lately."""
    stored: deque[tuple[str, Request]] = field(default_factory=lambda: deque(maxlen=REPEATABLE_REQUESTS))
    turns_acknowledged: int = 0

    @property
    def tenants(self) -> Sequence[str]:
        """Whose load it is."""
        return tuple(self.logs)

    def client(self, tenant: str, doors: Doors, name: str) -> Client:
        """A client with its own random numbers: the same for the same seed and name."""
        rng = random.Random(f"{self.seed}/{tenant}/{name}")
        return Client(tenant, self.tenants, doors, self.record, rng, self.give_up, self.deadlines)

    def learn(self, call: Call, request: Request | None = None) -> None:
        """Take note of what a call stored; the request may be repeated later."""
        for placed in call.placed:
            if placed.version == 0:
                continue
            self.turns_acknowledged += not placed.duplicate
            key = (call.tenant, placed.session)
            if key not in self.acknowledged:
                self.recent.setdefault(call.tenant, deque(maxlen=40)).append(placed.session)
            self.acknowledged[key] = max(self.acknowledged.get(key, 0), placed.version)
        if request is not None and call.placed:
            self.stored.append((call.tenant, request))

    async def pause(self, rng: random.Random, seconds: float) -> bool:
        """Think for about so long; False once the load is to stop."""
        try:
            async with asyncio.timeout(seconds * self.pace.slowness * rng.uniform(0.5, 1.5)):
                await self.stop.wait()
        except TimeoutError:
            return True
        return False
