"""The queue in front of a group commit: one line for each tenant, taken in turn, so that none waits behind another's.

Enters: requests in the order of their arrival. Leaves: batches. Within a tenant the order is kept; between tenants it
is deficit round robin (Shreedhar and Varghese 1996), counted in events: each visit grants a tenant its share of the
batch, and what it could not use of that because its next request is larger is kept for its next visit. A tenant that
had nothing queued and less than its share of the batch before goes first (as new flows do in FQ-CoDel, RFC 8290), so
whoever writes little is in the next batch. With one tenant all that is the order of arrival. No I/O and no clock of its
own; called by `group_commit`.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from turnlog_ingest.waiting_writes import Waiting

FREE_SHARE = 2
"""A tenant may queue up to so many times the events that are still free: alone two thirds of the queue, one of two that
flood two fifths. So there is always room for one that comes later (dynamic thresholds, Choudhury and Hahne 1998)."""
SHARED_S = 2.0
"""How long after requests of two tenants came one after the other the log counts as shared."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a batch may hold: `events_max` and `bytes_max` at most, and nothing more once it has `enough_events`. Where
    a tenant that goes first is in it, no request above `express_events` beside it: that would make it wait twice."""

    events_max: int
    bytes_max: int
    enough_events: int
    express_events: int


class FairQueue:
    """What waits for a commit, at most `events_max` events."""

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._first: deque[Waiting] = deque()
        self._lines: dict[str, deque[Waiting]] = {}
        self._turns: deque[str] = deque()  # the tenants with a line, the next to be served first
        self._credit: dict[str, int] = {}
        self._queued: dict[str, int] = {}
        self._requests = 0
        self._had_share: set[str] = set()  # the tenants that had it of the batch before
        self._fresh: set[str] = set()  # those that go first in the next one
        self._was_express = False
        self._last_tenant = ""
        self._mixed_at = -math.inf
        self.events = 0

    def __len__(self) -> int:
        return self._requests

    def has_room(self, tenant: str, events: int) -> bool:
        """Whether a tenant may queue so many more events."""
        free = self._events_max - self.events
        return events <= free and self._queued.get(tenant, 0) + events <= FREE_SHARE * free

    def shared(self, now: float) -> bool:
        """Whether more than one tenant wrote lately: `now` and the `now` of `push` are of one clock, in seconds."""
        return now - self._mixed_at < SHARED_S

    def push(self, waiting: Waiting, now: float) -> None:
        """Queue a request behind those of its tenant."""
        tenant = waiting.request.events[0].tenant
        if tenant != self._last_tenant:
            if self._last_tenant:
                self._mixed_at = now
            self._last_tenant = tenant
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = deque()
            if tenant in self._had_share:
                self._turns.append(tenant)
            else:
                self._turns.appendleft(tenant)
                self._fresh.add(tenant)
        line.append(waiting)
        self._count(waiting, 1)

    def push_first(self, batch: list[Waiting]) -> None:
        """Queue requests again, each to be taken alone, in this order and before all others."""
        self._first.extendleft(reversed(batch))
        for waiting in batch:
            self._count(waiting, 1)

    def take(self, room: Room, refused: Callable[[Waiting], bool]) -> list[Waiting]:
        """The next batch: as many requests as there is room for, and one in any case. `refused` fails a request that
        must not be taken any more and says so. A request that shares a key with one already taken waits for the next
        batch: within one call of the append function a key is looked up once."""
        while self._first:
            waiting = self._first.popleft()
            self._count(waiting, -1)
            if not refused(waiting):
                return [waiting]
        express = self._goes_express(room.express_events)
        batch = _Batch(room, room.express_events if express else room.events_max)
        held_back: dict[str, list[Waiting]] = {}
        self._had_share.clear()
        self._fresh.clear()
        grant = max(1, room.enough_events // max(1, len(self._turns)))
        while self._turns and not batch.full:
            tenant = self._turns[0]
            line = self._lines[tenant]
            credit = self._credit.get(tenant, 0) + grant
            spends = credit if len(self._turns) > 1 else math.inf  # alone, there is nobody to be fair to
            spent = self._serve(line, spends, batch, held_back.setdefault(tenant, []), refused)
            self._credit[tenant] = max(0, credit - spent)
            if spent >= grant:
                self._had_share.add(tenant)
            if not line:
                self._leave(tenant)
            elif not batch.full:
                self._turns.rotate(-1)
        for tenant, held in held_back.items():
            self._return(tenant, held)
        self._was_express = express
        return batch.requests

    def _goes_express(self, events_max: int) -> bool:
        """Whether the next batch is for a small request of a tenant that goes first, and for others as small. One of
        two batches at most: such tenants could keep the large requests waiting for ever."""
        if self._was_express or not self._turns or self._turns[0] not in self._fresh:
            return False
        return len(self._lines[self._turns[0]][0].request.events) <= events_max

    def _serve(
        self,
        line: deque[Waiting],
        credit: float,
        batch: "_Batch",
        held_back: list[Waiting],
        refused: Callable[[Waiting], bool],
    ) -> int:
        """Take from a tenant's line what its credit allows; the events taken."""
        spent = 0
        while line:
            waiting = line[0]
            count = len(waiting.request.events)
            if spent + count > credit:
                break
            if not batch.fits(waiting):
                batch.full = True
                break
            line.popleft()
            if refused(waiting):
                self._count(waiting, -1)
            elif batch.add(waiting):
                self._count(waiting, -1)
                spent += count
            else:
                held_back.append(waiting)
        return spent

    def take_late(self, now: float) -> list[Waiting]:
        """Take out every request whose deadline has come."""
        late: list[Waiting] = []
        for line in [self._first, *self._lines.values()]:
            gone = [waiting for waiting in line if waiting.deadline <= now]
            if gone:
                kept = [waiting for waiting in line if waiting.deadline > now]
                line.clear()
                line.extend(kept)
                late += gone
        for tenant in [tenant for tenant, line in self._lines.items() if not line]:
            self._leave(tenant)
        for waiting in late:
            self._count(waiting, -1)
        return late

    def next_deadline(self) -> float:
        """The earliest deadline of what is queued; infinite when nothing is."""
        lines = [self._first, *self._lines.values()]
        return min((waiting.deadline for line in lines for waiting in line), default=math.inf)

    def _leave(self, tenant: str) -> None:
        """The tenant has nothing queued: it gives up its turn, and its credit with it."""
        del self._lines[tenant]
        self._credit.pop(tenant, None)
        self._turns.remove(tenant)

    def _return(self, tenant: str, held: list[Waiting]) -> None:
        """Put back to the head of a tenant's line, in their order, what waits for the next batch."""
        if not held:
            return
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = deque()
            self._turns.append(tenant)
        line.extendleft(reversed(held))

    def _count(self, waiting: Waiting, sign: int) -> None:
        events = sign * len(waiting.request.events)
        tenant = waiting.request.events[0].tenant
        self._requests += sign
        self.events += events
        if left := self._queued.get(tenant, 0) + events:
            self._queued[tenant] = left
        else:
            del self._queued[tenant]


class _Batch:
    """What one transaction will take."""

    def __init__(self, room: Room, largest_events: int) -> None:
        self._room, self._largest_events = room, largest_events
        self._events = self._bytes = 0
        self._keys: set[tuple[str, str, str]] = set()
        self.requests: list[Waiting] = []
        self.full = False

    def fits(self, waiting: Waiting) -> bool:
        """Whether there is room: for the first always."""
        if not self.requests:
            return True
        events = len(waiting.request.events)
        return (
            events <= self._largest_events
            and self._events < self._room.enough_events
            and self._events + events <= self._room.events_max
            and self._bytes + waiting.size_bytes <= self._room.bytes_max
        )

    def add(self, waiting: Waiting) -> bool:
        """Take a request, unless it shares a key with one taken or held back before."""
        own = {(event.tenant, event.session_id, event.key) for event in waiting.request.events}
        meets = not self._keys.isdisjoint(own)
        self._keys |= own
        if meets:
            return False
        self.requests.append(waiting)
        self._events += len(waiting.request.events)
        self._bytes += waiting.size_bytes
        return True
