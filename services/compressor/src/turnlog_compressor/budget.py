"""What models may cost: calls at a time, and tokens a minute on the monotonic clock, in all and for each tenant."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from turnlog_compressor.models.port import ModelError


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """`wait_s` is how long a call waits for its turn or for tokens before the summary is made without a model. Where a
    tenant has used up `tenant_tokens_per_minute` (0: no bound) nothing waits: it would hold a worker others need."""

    concurrent_calls: int = 4
    tokens_per_minute: int = 200_000
    wait_s: float = 30.0
    tenant_tokens_per_minute: int = 0


class TokenBucket:
    """Tokens that refill at a steady rate, a minute's worth at most. Pure but for its clock (monotonic seconds)."""

    def __init__(self, tokens_per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity = float(tokens_per_minute)
        self._level = self._capacity
        self._clock = clock
        self._at_s = clock()

    def take(self, tokens: int, max_wait_s: float) -> float | None:
        """Take tokens and return the seconds to wait before using them; None (nothing taken) beyond `max_wait_s`.

        A demand above a whole minute's worth counts as a minute's worth: it would never be met otherwise.
        """
        self._refill()
        wanted = min(float(tokens), self._capacity)
        wait_s = max(0.0, wanted - self._level) * 60 / self._capacity
        if wait_s > max_wait_s:
            return None
        self._level -= wanted
        return wait_s

    def settle(self, taken: int, used: int) -> None:
        """Give back what was taken too much, or take what was used above it."""
        self._refill()
        self._level = min(self._capacity, self._level + min(float(taken), self._capacity) - used)

    @property
    def full(self) -> bool:
        """Whether it is as if nothing had ever been taken."""
        self._refill()
        return self._level >= self._capacity

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at_s) * self._capacity / 60)
        self._at_s = now


@dataclass(slots=True)
class Spent:
    """What a call took from the budget, and what it used: the caller sets `used` when the server has said."""

    taken: int = 0
    used: int = 0


class Budget:
    """The budget of one model."""

    def __init__(self, settings: BudgetSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = asyncio.Semaphore(settings.concurrent_calls)
        self._bucket = TokenBucket(settings.tokens_per_minute, clock)
        self._tenants: dict[str, TokenBucket] = {}

    @asynccontextmanager
    async def spend(self, tokens: int, tenant: str = "") -> AsyncIterator[Spent]:
        """Room for one call that may cost `tokens`. Raises `ModelError("budget")` when there is none in time, or at
        once when the tenant's own is used up."""
        own = self._own(tenant)
        if own is not None and own.take(tokens, 0.0) is None:
            raise ModelError("budget")
        spent = Spent()
        try:
            async with self._call():
                try:
                    await self._wait_for(tokens, spent)
                    yield spent
                finally:
                    self._bucket.settle(spent.taken, spent.used)
        finally:
            if own is not None:
                own.settle(tokens, spent.used)

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.wait_s):
                await self._calls.acquire()
        except TimeoutError:
            raise ModelError("budget") from None
        try:
            yield
        finally:
            self._calls.release()

    async def _wait_for(self, tokens: int, spent: Spent) -> None:
        wait_s = self._bucket.take(tokens, self._settings.wait_s)
        if wait_s is None:
            raise ModelError("budget")
        spent.taken = tokens
        await asyncio.sleep(wait_s)
        spent.used = tokens

    def _own(self, tenant: str) -> TokenBucket | None:
        """The tenant's bucket; of tenants that spend nothing none is kept."""
        if not self._settings.tenant_tokens_per_minute:
            return None
        bucket = self._tenants.get(tenant)
        if bucket is None:
            for idle in [name for name, kept in self._tenants.items() if kept.full]:
                del self._tenants[idle]
            bucket = self._tenants[tenant] = TokenBucket(self._settings.tenant_tokens_per_minute, self._clock)
        return bucket
