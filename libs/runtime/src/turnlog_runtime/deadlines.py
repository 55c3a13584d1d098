"""Time limits of open HTTP requests, at almost no cost to those that keep them.

The edge enters each request here and takes it out when it is answered; a timer that runs only while requests are open
looks at all of them every `LOOK_S` seconds and cancels what is over its limit. `asyncio.timeout` around each request
would cost 5 µs of the 100 that a read takes, this costs half a microsecond (measured).
"""

import asyncio
import math
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from turnlog_runtime.problems import Problem

LOOK_S = 0.1
BODY_S = 9.0
"""The longest a request's body may take to arrive (the connection is closed within 10 s); of a bulk load: each part."""
BODY_BYTES_PER_S = 32 * 1024
"""How fast a bulk load must arrive on average, once it has taken `BODY_S`."""
_KEY = "turnlog.time_limit"

Scope = MutableMapping[str, Any]


def _body_late() -> Problem:
    message = f"the body did not arrive within {BODY_S:g} s (a load: at {BODY_BYTES_PER_S} bytes a second at least)"
    return Problem(408, "request_timeout", message, "body", headers={"connection": "close"})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long an app may take for a request (seconds; `math.inf` for one that bounds each of its steps itself), and
    what the client is told when it took longer."""

    seconds: Callable[[Scope], float]
    late: Callable[[Scope], Problem]


class TimeLimit:
    """The time limit of one request, which runs in the task that made it."""

    __slots__ = (
        "_body_from_s",
        "_calmed",
        "_cancelling",
        "_late",
        "_scope",
        "_seconds",
        "_task",
        "at_s",
        "expired",
        "in_body",
    )

    def __init__(self, seconds: float, late: Callable[[Scope], Problem], scope: Scope) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._seconds, self._late, self._scope = seconds, late, scope
        self.at_s = self._body_from_s = time.monotonic() + seconds
        self.expired = self.in_body = self._calmed = False

    def wait_for_body(self, arrived_bytes: int = 0) -> None:
        """While the body arrives, that has a limit of its own. Called again, it begins anew, as far as what has arrived
        by then came fast enough."""
        now = time.monotonic()
        if not self.in_body:
            self.in_body, self._body_from_s = True, now
        self.at_s = min(now, self._body_from_s + arrived_bytes / BODY_BYTES_PER_S) + BODY_S

    def body_arrived(self) -> None:
        """The body is whole: from here on counts what the app takes."""
        self.in_body = False
        self.at_s = time.monotonic() + self._seconds

    def lift(self) -> None:
        """No limit from here on: each step has its own."""
        self.at_s = math.inf

    def expire(self) -> None:
        """Cancel the request."""
        self.expired = True
        self._task.cancel()

    def calm(self) -> bool:
        """Whether the cancellation under way is the one that `expire` asked for; it is taken back then, so that the
        task can go on."""
        if not self.expired or self._calmed:
            return False
        self._calmed = True
        return self._task.uncancel() <= self._cancelling

    def problem(self) -> Problem:
        """What the client is told."""
        return _body_late() if self.in_body else self._late(self._scope)


class OpenRequests:
    """The requests that an app is answering now."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._open: dict[TimeLimit, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, scope: Scope) -> TimeLimit:
        """Begin to time the request that the running task serves."""
        limit = TimeLimit(self._deadlines.seconds(scope), self._deadlines.late, scope)
        scope[_KEY] = limit
        self._open[limit] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        return limit

    def leave(self, limit: TimeLimit) -> None:
        """The request is answered, or given up."""
        del self._open[limit]
        limit.calm()

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        for limit in self._open:
            if limit.at_s <= now and not limit.expired:
                limit.expire()
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)


def limit_of(scope: Scope) -> TimeLimit | None:
    """The time limit of a request, or None where nothing times it."""
    return scope.get(_KEY)


def lift(scope: Scope) -> None:
    """Lift the request's time limit: what follows is a stream whose steps are bounded one by one."""
    limit = limit_of(scope)
    if limit is not None:
        limit.lift()
