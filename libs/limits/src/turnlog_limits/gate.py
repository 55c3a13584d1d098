"""The gate that limits: counts each request for its credential and tenant, and lets the write path charge turns.

Stands inside the gate that says who asks (`principal_of`). Every answer says in `RateLimit-Policy` and `RateLimit`
(draft-ietf-httpapi-ratelimit-headers-11) what is allowed and about what is left; a refusal is 429 with `Retry-After`.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from turnlog_limits.callers import Accounts, Caller, Callers
from turnlog_limits.counter import Counter, RedisCounter
from turnlog_limits.leases import Leases, Refused
from turnlog_limits.limit import Limit, limits_of
from turnlog_limits.metrics import REFUSED
from turnlog_runtime.asgi import App, Headers, Receive, Scope, Send, answer_headers
from turnlog_runtime.charges import REQUESTS, charge_by
from turnlog_runtime.principal import NOBODY, Gate, open_gate, principal_of
from turnlog_runtime.problems import Problem
from turnlog_runtime.settings import LimitedSettings

LONGEST_WAIT_S = 3_600
"""What `Retry-After` says at most."""


class Bill:
    """What one request is charged, and what its answer says of the limits it met."""

    __slots__ = ("_accounts", "_caller", "_gate", "_units")

    def __init__(self, gate: "Limits", caller: Caller) -> None:
        self._gate, self._caller = gate, caller
        self._accounts: Accounts = ()
        self._units: tuple[str, ...] = ()

    async def charge(self, unit: str, amount: int) -> None:
        """See `turnlog_runtime.charges.Charge`."""
        accounts = self._caller.by_unit.get(unit)
        if accounts is None:
            return
        if unit not in self._units:
            self._units += (unit,)
            self._accounts += accounts
        try:
            await self._gate.leases.charge(accounts, amount)
        except Refused as refused:
            REFUSED.labels(refused.limit.name).inc()
            raise too_many(refused) from None

    def headers(self) -> Headers:
        """The headers of the answer."""
        if not self._accounts:
            return ()
        now_s = int(self._gate.leases.clock())
        policy, form = self._gate.fields(self._units)
        standings: list[int] = []
        for account in self._accounts:
            standings += account.standing(now_s)
        return ((b"ratelimit-policy", policy), (b"ratelimit", form % tuple(standings)))


class Limits:
    """The limits of one process, for all its apps."""

    def __init__(self, limits: tuple[Limit, ...], leases: Leases) -> None:
        self.leases = leases
        self._limits = limits
        self._fields: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        self._callers = Callers(limits)

    def fields(self, units: tuple[str, ...]) -> tuple[bytes, bytes]:
        """Of the limits that count these units, unit by unit: the field `RateLimit-Policy`, and `RateLimit` as a form
        to be filled in with two numbers for each."""
        found = self._fields.get(units)
        if found is None:
            limits = [limit for unit in units for limit in self._limits if limit.unit == unit]
            policy = ", ".join(map(_policy, limits))
            form = ", ".join(f'"{limit.name}";r=%d;t=%d' for limit in limits)
            found = self._fields[units] = policy.encode(), form.encode()
        return found

    def gate(self, app: App) -> App:
        """The app behind these limits."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            principal = principal_of(scope)
            if scope["type"] == "http" and principal is not NOBODY:
                bill = Bill(self, self._callers.find(principal.tenant, principal.credential))
                answer_headers(scope, bill.headers)
                await bill.charge(REQUESTS, 1)
                charge_by(scope, bill.charge)
            await app(scope, receive, send)

        return limited


@asynccontextmanager
async def limits_gate(settings: LimitedSettings) -> AsyncIterator[Gate]:
    """The gate that the settings ask for, one for all apps of the process; an open one where nothing is limited.

    Without an address of Redis each process counts alone.
    """
    limits = limits_of(settings)
    if not limits:
        yield open_gate
        return
    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    counter: Counter | None = RedisCounter(url, settings.limit_redis_deadline_s) if url else None
    leases = Leases(counter)
    await leases.open()
    renewing = asyncio.create_task(leases.run())
    try:
        yield Limits(limits, leases).gate
    finally:
        renewing.cancel()
        await asyncio.wait({renewing})
        if counter is not None:
            await counter.close()


def too_many(refused: Refused) -> Problem:
    """429: which limit, and when to come again."""
    wait_s = min(LONGEST_WAIT_S, max(1, math.ceil(refused.wait_s)))
    message = f"{refused.limit.words} are allowed, and they are used up; try again in {wait_s} s"
    return Problem(429, "rate_limited", message, retry_after_s=wait_s)


def _policy(limit: Limit) -> str:
    """One item of `RateLimit-Policy`. Only requests are a registered quota unit; others bear our prefix."""
    unit = "" if limit.unit == REQUESTS else f';qu="turnlog-{limit.unit}"'
    return f'"{limit.name}";q={limit.amount};w={limit.window_s}{unit}'
