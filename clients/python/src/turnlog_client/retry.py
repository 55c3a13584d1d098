"""When to try again: pure, given the clock's readings."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from turnlog_client.errors import Unavailable


@dataclass(frozen=True)
class RetryPolicy:
    """Pauses double from `first_s` to `last_s`, jittered by up to a half; all attempts together take `total_s`."""

    total_s: float = 30.0
    first_s: float = 0.1
    last_s: float = 5.0


class Attempts:
    """The attempts of one call, from now on."""

    def __init__(self, policy: RetryPolicy, clock: Callable[[], float]) -> None:
        self._policy, self._clock = policy, clock
        self._deadline = clock() + policy.total_s
        self._failures = 0
        self._unknown = False

    @property
    def left_s(self) -> float:
        """Seconds until the deadline; not below 0."""
        return max(0.0, self._deadline - self._clock())

    def progressed(self) -> None:
        """Something was achieved: the deadline and the pauses begin anew."""
        self._deadline = self._clock() + self._policy.total_s
        self._failures = 0
        self._unknown = False

    def pause_s(self, failure: Unavailable) -> float:
        """How long to wait before the next attempt, at least what the server asked for.

        Raises `failure` itself when the deadline would pass meanwhile, its outcome unknown if that of any attempt is.
        """
        self._unknown = failure.outcome_unknown = self._unknown or failure.outcome_unknown
        exponential = min(self._policy.first_s * 2.0 ** min(self._failures, 30), self._policy.last_s)
        pause = max(exponential * random.uniform(0.5, 1.0), failure.retry_after_s or 0.0)
        self._failures += 1
        if pause >= self.left_s:
            raise failure
        return pause
