"""A circuit breaker: after some failures in a row a model is left alone for a while, then tried once.

closed ─ `failures` in a row ─► open ─ after `open_s` ─► half-open: one probe ─ success ─► closed, ─ failure ─► open.
Small and in process: one compressor is active per log, so there is nobody to share the state with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """The breaker's state, as the metric shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to open, and for how long."""

    failures: int = 5
    open_s: float = 30.0


class Breaker:
    """One model's breaker. `clock` gives monotonic seconds."""

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._failed = 0
        self._opened_s: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """The state now."""
        if self._opened_s is None:
            return State.CLOSED
        waited = self._clock() - self._opened_s >= self._settings.open_s
        return State.HALF_OPEN if waited or self._probing else State.OPEN

    def admit(self) -> bool:
        """Whether a call may be made now. Each call admitted must end in `succeeded`, `failed` or `released`."""
        if self._opened_s is None:
            return True
        if self._probing or self.state is State.OPEN:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The model answered."""
        self._failed = 0
        self._opened_s = None
        self._probing = False

    def failed(self) -> None:
        """The model did not answer, or not sensibly."""
        self._failed += 1
        if self._probing or self._failed >= self._settings.failures:
            self._opened_s = self._clock()
        self._probing = False

    def released(self) -> None:
        """The call ended without saying anything about the model (cancelled, or the request was at fault)."""
        self._probing = False
