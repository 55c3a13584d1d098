"""Leases kept filled: spent without waiting where there is something left, renewed from the counter ahead of need.

Enters: what a request costs. Leaves: nothing, or `Refused`. When the counter does not answer in time it counts as away:
every lease is filled from a window of this process alone (`Limit.local_amount`), and the counter is asked for a sign of
life every `retry_s`, by nobody's request. Called by the accounts of the gate.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from turnlog_limits.counter import Counter, CounterAway, Taken
from turnlog_limits.lease import Lease
from turnlog_limits.limit import Limit
from turnlog_limits.metrics import AWAY, ROUND_TRIPS
from turnlog_limits.window import Counts, LocalWindow

RETRY_S = 3.0
LEAST_WAIT_S = 0.005
"""A refusal holds at least so long; others may have taken what there was between the answer and our look."""

_log = structlog.get_logger()


class Refused(Exception):
    """A limit is used up; asked again after `wait_s` seconds it may not be."""

    def __init__(self, limit: Limit, wait_s: float) -> None:
        super().__init__(limit.words)
        self.limit, self.wait_s = limit, wait_s


class Account:
    """One limit for one caller in this process: its lease, and what the counter last said."""

    __slots__ = ("_resets_at", "_unspent", "asked", "lease", "limit", "local", "lock", "subject")

    def __init__(self, limit: Limit, subject: str) -> None:
        self.limit, self.subject = limit, subject
        self.lease = Lease(limit.lot_max)
        self.lock = asyncio.Lock()
        self.local = LocalWindow(limit.local_amount, limit.window_s)
        self.asked = False
        self._unspent, self._resets_at = limit.amount, 0

    def told(self, counts: Counts, amount: int, now: float) -> None:
        """What is counted of an amount: for all processes, or by this one alone."""
        self._unspent = amount - counts.used(self.limit.window_s)
        self._resets_at = int(now + counts.current_s) + 1

    def standing(self, now_s: int) -> tuple[int, int]:
        """About how much is left (what was at the last look, and of our lot), and in how many seconds the window of
        that look ends."""
        left = self._unspent + self.lease.left
        resets_s = self._resets_at - now_s
        return left if left > 0 else 0, resets_s if resets_s > 0 else self.limit.window_s


class Leases:
    """All accounts' leases on one counter (None: there is none, each process counts alone)."""

    def __init__(
        self, counter: Counter | None, clock: Callable[[], float] = time.monotonic, retry_s: float = RETRY_S
    ) -> None:
        self._counter, self.clock, self._retry_s = counter, clock, retry_s
        self._low: deque[Account] = deque()
        self._wake = asyncio.Event()
        self._away = counter is None

    async def open(self) -> None:
        """Look whether the counter is there."""
        if self._counter is not None and not await self._counter.answers():
            self._lost(CounterAway("not there"))

    async def charge(self, accounts: Sequence[Account], cost: int) -> None:
        """Spend `cost` of every account, or of none and raise `Refused`."""
        now = self.clock()
        for account in accounts:  # what `Lease.admits` says, without a call for each where there is plenty
            lease = account.lease
            if (lease.left < cost or now >= lease.lapses_at) and not lease.admits(cost, now):
                break
        else:
            for account in accounts:
                lease = account.lease
                lease.left -= cost
                if 2 * lease.left < lease.lot and not account.asked:
                    self._ask(account, now)
            return
        await self._charge_slowly(accounts, cost)

    async def _charge_slowly(self, accounts: Sequence[Account], cost: int) -> None:
        taken: list[Account] = []
        try:
            for account in accounts:
                await self._take(account, cost)
                taken.append(account)
        except BaseException:
            for account in taken:
                account.lease.give_back(cost)
            raise

    async def _take(self, account: Account, cost: int) -> None:
        """Spend of one account, asking the counter if it must be. One caller of an account asks at a time: most of
        those that wait for it are served by its answer."""
        async with account.lock:
            now = self.clock()
            lease = account.lease
            if not lease.admits(cost, now):
                if not (wait_s := lease.closed_s(cost, now)):
                    wait_s = await self._fill(account, cost)
                if wait_s:
                    raise Refused(account.limit, wait_s)
            lease.left -= cost
            if lease.low and not account.asked:
                self._ask(account, now)

    async def _fill(self, account: Account, cost: int) -> float:
        """Have the lease filled so that `cost` can be spent (0: as far as it goes); 0, or for how many seconds that
        will be refused."""
        limit, lease = account.limit, account.lease
        least = min(lease.need(cost), limit.amount) if cost else 1
        asked = max(least, min(lease.wanted(cost), limit.amount))
        if not self._away:
            assert self._counter is not None
            try:
                taken = await self._counter.take(limit, account.subject, asked, least)
            except CounterAway as error:
                self._lost(error)
            else:
                return self._settle(account, taken, asked, least)
        return self._fill_locally(account, asked, least)

    def _settle(self, account: Account, taken: Taken, asked: int, least: int) -> float:
        now = self.clock()
        account.told(taken.counts, account.limit.amount, now)
        ROUND_TRIPS.labels("granted" if taken.granted else "refused").inc()
        if taken.granted:
            account.lease.granted(taken.granted, asked, now)
            return 0.0
        wait_s = taken.counts.room_in_s(least, account.limit.amount, account.limit.window_s)
        account.lease.refused(least, now + max(LEAST_WAIT_S, wait_s))
        return max(LEAST_WAIT_S, wait_s)

    def _fill_locally(self, account: Account, asked: int, least: int) -> float:
        now, window = self.clock(), account.local
        granted = window.take(asked, least, now)
        account.told(window.counts(now), account.limit.local_amount, now)
        if granted:
            account.lease.granted(granted, asked, now)
            return 0.0
        wait_s = max(LEAST_WAIT_S, window.counts(now).room_in_s(least, account.limit.local_amount, window.window_s))
        account.lease.refused(
            least, now + min(wait_s, self._retry_s)
        )  # no longer: the shared counter may be back by then
        return wait_s

    def _ask(self, account: Account, now: float) -> None:
        """Renew soon; nobody waits for it."""
        if account.lease.closed_s(1, now):
            return
        if self._away:
            self._fill_locally(account, max(1, account.lease.wanted(0)), 1)
            return
        account.asked = True
        self._low.append(account)
        self._wake.set()

    def _lost(self, error: CounterAway) -> None:
        if not self._away:
            ROUND_TRIPS.labels("away").inc()
            AWAY.set(1)
            _log.warning("limits_redis_away", cause=str(error))
        self._away = True
        self._wake.set()

    async def run(self) -> None:
        """Renew what is low, and find out when the counter is back; until cancelled."""
        if self._counter is None:
            return
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.renew()
            if self._away:
                await self._back(self._counter)

    async def renew(self) -> None:
        """Fill every lease that has run low."""
        while self._low:
            account = self._low.popleft()
            account.asked = False
            async with account.lock:
                if account.lease.low:
                    await self._fill(account, 0)

    async def _back(self, counter: Counter) -> None:
        """Wait until the counter answers again."""
        while self._away:
            await asyncio.sleep(self._retry_s)
            if await counter.answers():
                self._away = False
                AWAY.set(0)
                _log.info("limits_redis_back")
