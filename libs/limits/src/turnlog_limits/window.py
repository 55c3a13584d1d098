"""The sliding window counter, as arithmetic: what two neighbouring windows hold, and when there is room again.

The count of the window before is weighted by how much of it still lies within the last `window_s` seconds, so spread
evenly it is exact. At the worst (a whole limit at the very end of one window) twice the limit passes within a window's
time; an exact log of every grant would cost memory for each. Pure; times are seconds.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """`previous` was counted in the window before and weighs for `previous_s` more seconds; `current` in this window,
    which ends in `current_s` seconds."""

    previous: int
    previous_s: float
    current: int
    current_s: float

    def used(self, window_s: float) -> int:
        """What counts now."""
        return math.floor(self.previous * self.previous_s / window_s) + self.current

    def room_in_s(self, wanted: int, amount: int, window_s: float) -> float:
        """The earliest time, seconds from now, at which `wanted` more would be within `amount`, if nobody takes any
        meanwhile. A demand above `amount` counts as `amount`: it would never be met otherwise."""
        rest = amount - min(wanted, amount)
        if self.used(window_s) <= rest:
            return 0.0
        if self.current <= rest:
            # floor(previous * t / window_s) <= rest - current  <=>  t < (rest - current + 1) * window_s / previous
            weighs_s = (rest - self.current + 1) * window_s / self.previous
            return max(0.0, self.previous_s - weighs_s)
        weighs_s = min(window_s, (rest + 1) * window_s / self.current)
        return self.current_s + window_s - weighs_s


class LocalWindow:
    """A counter of one process, for the time in which the shared one is away."""

    __slots__ = ("_amount", "_began", "_current", "_previous", "window_s")

    def __init__(self, amount: int, window_s: float) -> None:
        self._amount, self.window_s = amount, window_s
        self._previous = self._current = 0
        self._began = -math.inf

    def counts(self, now: float) -> Counts:
        """What is counted now."""
        passed = now - self._began
        if passed >= 2 * self.window_s:
            self._previous = self._current = 0
            self._began, passed = now, 0.0
        elif passed >= self.window_s:
            self._previous, self._current = self._current, 0
            self._began += self.window_s
            passed -= self.window_s
        left_s = self.window_s - passed
        return Counts(self._previous, left_s, self._current, left_s)

    def take(self, wanted: int, least: int, now: float) -> int:
        """Up to `wanted`, 0 when not even `least` is there (above the amount: when not all of it is)."""
        room = self._amount - self.counts(now).used(self.window_s)
        if room < min(least, self._amount):
            return 0
        granted = max(least, min(wanted, room))
        self._current += granted
        return granted
