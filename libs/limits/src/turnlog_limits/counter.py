"""The shared counter of every limit: sliding windows in Redis, kept by the `limits` library.

Enters: which limit, for whom, how much. Leaves: what was granted, and what is counted now. Two keys a limit and caller,
`turnlog:limits:{<limit>/<tenant>[/<credential>]/…}` and the same with `/-1`, which expire by themselves after at most
two windows. `/` is in no tenant and is escaped in credentials, so no two callers meet in a key.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from turnlog_limits.limit import Limit
from turnlog_limits.window import Counts

PREFIX = "turnlog:limits"
CONNECTIONS = 8
CONNECT_S = 1.0
_IN_IDS = ".:@+-_#"
_BROKEN = (OSError, RedisError, TimeoutError, RuntimeError)
"""What Redis that is away shows as; RuntimeError is uvloop's word for writing to a connection that was reset."""


class CounterAway(Exception):
    """The counter did not answer in time. Something may have been counted."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was granted (0: not even the least), and what is counted since."""

    granted: int
    counts: Counts


class Counter(Protocol):
    """What leases ask of whatever counts for all processes."""

    async def take(self, limit: Limit, subject: str, wanted: int, least: int) -> Taken:
        """Grant `wanted`, or what there is of it if that is `least` or more. Raises `CounterAway` in bounded time."""

    async def answers(self) -> bool:
        """Whether it can be asked again."""

    async def close(self) -> None:
        """Close its connections."""


def subject_of(tenant: str, credential: str | None = None) -> str:
    """Whom a limit is counted for: a tenant, or one of its credentials. No two have the same."""
    return quote(tenant, safe=_IN_IDS) + ("" if credential is None else "/" + quote(credential, safe=_IN_IDS))


class RedisCounter:
    """Counts in one Redis server, or in whatever cluster proxy stands behind its address."""

    def __init__(self, url: str, deadline_s: float) -> None:
        """No call takes longer than `deadline_s`. The client has no time-outs of its own: on Python 3.11 its
        `asyncio.wait_for` around each write swallows a cancellation that comes with the write's end."""
        self._deadline_s = deadline_s
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        options: dict[str, Any] = {"connection_pool": self._pool}  # its stub names plain values only
        self._storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=PREFIX, **options)

    async def take(self, limit: Limit, subject: str, wanted: int, least: int) -> Taken:
        """See `Counter.take`."""
        item = RateLimitItemPerSecond(limit.amount, limit.window_s, namespace=limit.name)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._take(item, subject, wanted, least)
        except _BROKEN as error:
            raise CounterAway(type(error).__name__) from None

    async def _take(self, item: RateLimitItem, subject: str, wanted: int, least: int) -> Taken:
        key, window_s = item.key_for(subject), item.get_expiry()
        granted = wanted if await self._hit(key, item, wanted) else 0
        counts = await self._counts(key, window_s)
        if not granted:
            rest = min(wanted, item.amount - counts.used(window_s))
            if rest >= least and await self._hit(key, item, rest):
                return Taken(rest, await self._counts(key, window_s))
        return Taken(granted, counts)

    async def _hit(self, key: str, item: RateLimitItem, cost: int) -> bool:
        return await self._storage.acquire_sliding_window_entry(key, item.amount, item.get_expiry(), cost)

    async def _counts(self, key: str, window_s: int) -> Counts:
        previous, previous_s, current, current_s = await self._storage.get_sliding_window(key, window_s)
        return Counts(previous, previous_s, current, max(0.0, current_s - window_s))

    async def answers(self) -> bool:
        """See `Counter.answers`. A first connection may take longer than a call."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._storage.get_sliding_window("answers", 1)
        except _BROKEN:
            return False
        return True

    async def close(self) -> None:
        """See `Counter.close`."""
        await self._pool.disconnect()
