"""A client of the replicas as real ones behave: keeps connections, tries another replica after a failure, backs off
with jitter, honours Retry-After, and sends a write again with the same ids until its fate is known."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import orjson

from faults.check_reads import holds_foreign
from faults.client_http import BROKEN, Answer, Connection
from faults.record import NO_ANSWER, REFUSED, UNKNOWN, WRONG, Call, Record, Sent

CLIENT_TIMEOUT_S = 10.0
"""Far above every stated deadline, so that the longest call is seen and not cut."""
IDLE_S = 2.0
CANCELLED = "cancelled by the harness"
BACKOFF_FIRST_S, BACKOFF_LAST_S = 0.05, 1.0
DECIDED = frozenset({"stored", "rejected", "answered", "stale", WRONG})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What the services state: the longest write, the longest read, and how long `min_version` may wait beside it."""

    write_s: float = 5.0
    read_s: float = 5.0
    wait_s: float = 2.0


class Target(Protocol):
    """A replica as clients know it; its address may change when it is started again."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `judge` says what an answer means; `wait_s` is what it may wait for beside its deadline."""

    kind: str
    session: str
    method: str
    target: str
    name: str
    judge: Callable[[Call, Answer], Call]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: tuple[Sent, ...] = ()
    wait_s: float = 0.0
    whole: bool = True


class Doors:
    """The replicas of one service, with connections kept open to each."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        self._idle: dict[str, list[Connection]] = defaultdict(list)

    async def connection(self, target: Target) -> Connection:
        """A kept connection that is fresh enough, or a new one. Raises `OSError`."""
        idle = self._idle[target.url]
        while idle:
            found = idle.pop()
            if time.monotonic() - found.used_s < IDLE_S:
                return found
            found.close()
        return await Connection.open(target.url)

    def keep(self, target: Target, connection: Connection) -> None:
        """Give a connection back after a whole answer."""
        self._idle[target.url].append(connection)

    def close(self) -> None:
        """Close what is kept."""
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()


@dataclass(slots=True)
class Client:
    """One client of one tenant."""

    tenant: str
    tenants: Sequence[str]
    doors: Doors
    record: Record
    rng: random.Random
    give_up: asyncio.Event
    deadlines: Deadlines = Deadlines()

    async def persist(self, request: Request) -> Call:
        """Send the request until its fate is known or the run ends; the last attempt. No attempt follows a decision."""
        at = self.rng.randrange(len(self.doors.targets))
        attempt = 0
        while True:
            attempt += 1
            target = self.doors.targets[at % len(self.doors.targets)]
            call, retry_after_s = await self.once(request, target, attempt)
            if call.outcome in DECIDED or self.give_up.is_set():
                return call
            at += 1
            pause_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** min(attempt, 8)) * self.rng.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause_s, min(retry_after_s, BACKOFF_LAST_S) * self.rng.uniform(0.5, 1.0)))

    async def try_once(self, request: Request) -> Call:
        """One attempt at a replica of one's choice."""
        call, _ = await self.once(request, self.rng.choice(self.doors.targets), 1)
        return call

    async def once(self, request: Request, target: Target, attempt: int) -> tuple[Call, float]:
        """One attempt, recorded; and the server's Retry-After in seconds (0: none)."""
        reads = request.method == "GET"
        allowed_s = (self.deadlines.read_s if reads else self.deadlines.write_s) + request.wait_s
        call = Call(
            kind=request.kind, replica=target.name, tenant=self.tenant, session=request.session, request=request.name,
            attempt=attempt, started_s=time.monotonic(), ended_s=0.0, outcome=NO_ANSWER, allowed_s=allowed_s,
            sent=request.sent, whole=request.whole,
        )  # fmt: skip
        connection: Connection | None = None
        retry_after_s = 0.0
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                connection = await self.doors.connection(target)
                headers = {"x-tenant": self.tenant, **request.headers}
                answer = await connection.ask(request.method, request.target, headers, request.body)
        except (*BROKEN, TimeoutError) as error:
            call = replace(call, ended_s=time.monotonic(), code=type(error).__name__)
            if connection is not None:
                connection.close()
        except asyncio.CancelledError:  # it may have been stored all the same
            self.record.called(replace(call, ended_s=time.monotonic(), code=CANCELLED))
            raise
        else:
            call = self._judged(request, replace(call, ended_s=time.monotonic(), status=answer.status), answer)
            retry_after_s = float(answer.headers.get("retry-after", 0))
            if answer.headers.get("connection") == "close":
                connection.close()
            else:
                self.doors.keep(target, connection)
        self.record.called(call)
        return call, retry_after_s

    def _judged(self, request: Request, call: Call, answer: Answer) -> Call:
        call = replace(call, foreign=holds_foreign(self.tenant, self.tenants, answer.body))
        if answer.status < 400:
            return request.judge(call, answer)
        call = replace(call, code=error_code(answer.body))
        if answer.status in (503, 507, 429):
            return replace(call, outcome=REFUSED)
        if answer.status == 504:
            return replace(call, outcome=REFUSED if request.method == "GET" else UNKNOWN)
        return request.judge(replace(call, outcome=WRONG), answer)


def error_code(body: bytes) -> str:
    """The `code` of an error's body."""
    try:
        return str(orjson.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "no problem document"
