"""The sessions that are due, in the order in which they are worked on: tenants in turn, urgent sessions first.

A tenant that asks for a thousand compressions, or imports a year of talk, keeps no other waiting for more than the
order that is being worked on. Pure; called by `watchlist`.
"""

from collections import deque

from turnlog_compressor.policy import Reason

Key = tuple[str, str]
"""(tenant, session_id)."""
URGENT = (Reason.REQUESTED, Reason.RETRACTED)
URGENT_RUN = 3
"""After so many urgent sessions in a row one is taken that is not: those must come to an end, too."""


class Line:
    """Sessions by tenant. Taken from the tenant with the fewest orders under way; among equals, in turn."""

    def __init__(self) -> None:
        self._sessions: dict[str, deque[tuple[Key, Reason]]] = {}  # the next tenant first

    def __bool__(self) -> bool:
        return bool(self._sessions)

    def put(self, key: Key, reason: Reason) -> None:
        """Behind the others of its tenant."""
        self._sessions.setdefault(key[0], deque()).append((key, reason))

    def take(self, running: dict[str, int]) -> tuple[Key, Reason]:
        """The next session, of one that is there."""
        tenant = min(self._sessions, key=lambda name: running.get(name, 0))
        sessions = self._sessions.pop(tenant)
        found = sessions.popleft()
        if sessions:
            self._sessions[tenant] = sessions
        return found


class FairLine:
    """All due sessions, and how many orders of each tenant are under way."""

    def __init__(self) -> None:
        self._urgent, self._ready = Line(), Line()
        self._running: dict[str, int] = {}
        self._urgent_run = 0

    def put(self, key: Key, reason: Reason) -> None:
        """A session is due."""
        (self._urgent if reason in URGENT else self._ready).put(key, reason)

    def take(self) -> tuple[Key, Reason] | None:
        """The next session; its tenant has one more order under way until `ended`."""
        if self._urgent and (self._urgent_run < URGENT_RUN or not self._ready):
            self._urgent_run += 1
            found = self._urgent.take(self._running)
        elif self._ready:
            self._urgent_run = 0
            found = self._ready.take(self._running)
        else:
            return None
        tenant = found[0][0]
        self._running[tenant] = self._running.get(tenant, 0) + 1
        return found

    def ended(self, key: Key) -> None:
        """An order of the tenant is no longer under way."""
        left = self._running[key[0]] - 1
        if left:
            self._running[key[0]] = left
        else:
            del self._running[key[0]]
