"""A lease, as arithmetic: what one process may spend of one limit without asking anybody.

A process takes a lot from the shared counter and spends it by itself; it renews ahead of need, while requests go on.
What it has left is between `-lot_max` (spent on credit before the answer to its renewal came) and `lot_max`. So in any
window k processes together spend at most what the counter granted in that window and k * 2 * lot_max more: a lot held
from before, and a lot of credit. Credit is paid back with the next lot; where the counter has refused there is none,
and it grows again with every lot granted. A lot grows while it is used up quickly and is small for callers that come
seldom, whose lots would lapse unused. Pure; times are seconds of one monotonic clock.
"""

LEASE_S = 10.0
"""How long a lot may lie unused before it lapses."""
QUICK_S = 3.0
"""A lot that was used up sooner was too small."""


class Lease:
    """What is left of one limit for one caller in one process."""

    __slots__ = ("_bought_at", "_closed_need", "_closed_until", "_credit", "lapses_at", "left", "lot", "lot_max")

    def __init__(self, lot_max: int) -> None:
        self.lot_max = self._credit = lot_max
        self.lot = 1
        self.left = 0
        self.lapses_at = self._bought_at = self._closed_until = 0.0
        self._closed_need = 0

    def admits(self, cost: int, now: float) -> bool:
        """Whether `cost` may be spent without asking."""
        if self.left > 0 and now >= self.lapses_at:
            self.left, self.lot = 0, 1
        left = self.left - cost
        return left >= 0 or left >= -self._credit

    def give_back(self, cost: int) -> None:
        """What was spent on something that another limit refused."""
        self.left = min(self.left + cost, self.lot_max)

    @property
    def low(self) -> bool:
        """Whether it is time to renew."""
        return 2 * self.left < self.lot

    def need(self, cost: int) -> int:
        """What must come from the counter before `cost` may be spent."""
        return cost - self.left

    def wanted(self, cost: int) -> int:
        """What to ask the counter for: the need and, unless it refused the last time, enough for a lot."""
        return max(self.need(cost), self.lot - self.left) if self._credit else self.need(cost)

    def granted(self, amount: int, asked: int, now: float) -> None:
        """The counter gave `amount` of the `asked`."""
        if amount < asked:
            self.lot, self._credit = 1, 0
        elif self._credit:
            quick = now - self._bought_at < QUICK_S
            self.lot = min(self.lot_max, 2 * self.lot) if quick else max(1, self.lot // 2)
            self._credit = min(self.lot_max, 2 * self._credit)
        else:
            self._credit = 1
        self.left += amount
        self._bought_at, self.lapses_at = now, now + LEASE_S

    def refused(self, need: int, until: float) -> None:
        """The counter will not give `need` or more before `until`."""
        self.lot, self._credit = 1, 0
        self._closed_need, self._closed_until = need, until

    def closed_s(self, cost: int, now: float) -> float:
        """For how long it is known that the counter refuses what `cost` needs; 0 when it must be asked."""
        closed = now < self._closed_until and self.need(cost) >= self._closed_need
        return self._closed_until - now if closed else 0.0
