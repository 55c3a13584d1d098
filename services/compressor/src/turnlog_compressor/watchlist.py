"""The sessions that moved and are not finished: what the compressor remembers between an event and its job.

Enters: events of the log in order, the time, the outcomes of jobs. Leaves: orders, and the position up to which nothing
is pending. No I/O and no clock of its own; called from one task. A session is a few numbers; sessions with nothing to
wait for are only remembered in a bounded table.

What a restart needs: the last event of a session is enough to find it again, because a job reads the session itself. So
a waiting session holds the checkpoint at its last turn (at most `idle_s` old), one that is due at its first unfinished
event.
"""

import heapq
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from turnlog_compressor.fair_line import URGENT, FairLine, Key
from turnlog_compressor.orders import Left, Order, Task, WatchSettings
from turnlog_compressor.policy import PolicySettings, Reason, Standing, due, may_become_idle
from turnlog_compressor.transcript import estimated_tokens, text_of
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.payloads import CompressionRequested
from turnlog_events.upcast import payload_of


@dataclass(slots=True)
class _Watch:
    position: int = 0
    first_position: int = 0
    event_id: str = ""
    version: int = 0
    covered_to: int = 0
    tokens: int = 0
    new_tokens: int = 0  # since the running job began
    seen_s: float = 0.0
    tasks: deque[Task] = field(default_factory=deque)
    retracted: int = 0  # position of the newest retraction not yet worked on
    busy: bool = False  # queued, running or put off
    traces: tuple[str, ...] = ()


class Watchlist:
    """See the module. Times are monotonic seconds."""

    def __init__(self, policy: PolicySettings, settings: WatchSettings) -> None:
        self._policy = policy
        self._settings = settings
        self._watches: OrderedDict[Key, _Watch] = OrderedDict()  # in order of the last event
        self._known: OrderedDict[Key, tuple[int, int]] = OrderedDict()  # covered_to, tokens
        self._line = FairLine()
        self._due: dict[str, int] = {}  # busy sessions by tenant
        self._parked: dict[str, OrderedDict[Key, None]] = {}  # due, but their tenant has its share of what is
        self._put_off: list[tuple[float, Key, Reason]] = []
        self._busy: set[Key] = set()
        self._tasks = 0

    def __len__(self) -> int:
        return len(self._watches)

    @property
    def full(self) -> bool:
        """Whether no more events should be noted for now."""
        return len(self._busy) + self._tasks >= self._settings.due_max

    @property
    def idle(self) -> bool:
        """Whether nothing is due, running or put off."""
        return not self._busy

    def note(self, event: Event, now_s: float) -> None:
        """Take in the next event of the log."""
        if event.type not in (ev.TURN_STORED, ev.TURNS_RETRACTED, ev.COMPRESSION_REQUESTED):
            return
        if event.type != ev.COMPRESSION_REQUESTED and event.session_id.startswith(self._settings.left_alone):
            return
        key = (event.tenant, event.session_id)
        watch = self._watches.get(key) or self._new(key)
        watch.first_position = watch.first_position or event.position
        watch.position, watch.event_id, watch.seen_s = event.position, event.event_id, now_s
        self._watches.move_to_end(key)
        if event.type == ev.TURN_STORED:
            assert event.version is not None, "a turn has a version"
            if event.trace is not None and self._settings.traces_max and event.trace not in watch.traces:
                watch.traces = (*watch.traces, event.trace)[-self._settings.traces_max :]
            if event.version > watch.version:  # else a job has read ahead of the log's follower
                tokens = estimated_tokens(text_of(payload_of(event)))
                watch.version = event.version
                watch.tokens += tokens
                watch.new_tokens += tokens
        elif event.type == ev.TURNS_RETRACTED:
            watch.retracted = event.position
        else:
            asked = CompressionRequested.from_json(payload_of(event))
            watch.tasks.append(Task(asked.task_id, asked.up_to_version, event.event_id, event.position, event.trace))
            self._tasks += 1
        self._settle(key, watch, now_s)

    def tick(self, now_s: float) -> None:
        """Let time pass: sessions become idle, put-off orders come back, too many sessions are cut short."""
        while self._put_off and self._put_off[0][0] <= now_s:
            _, key, reason = heapq.heappop(self._put_off)
            self._line.put(key, reason)
        crowd = len(self._watches) - self._settings.waiting_max
        for number, (key, watch) in enumerate(list(self._oldest(now_s, crowd))):
            if watch.busy:
                continue
            if number < crowd:
                self._queue(key, watch, Reason.IDLE, share=False)
            else:
                self._settle(key, watch, now_s)

    def take(self) -> Order | None:
        """The next order; None while nothing is due. Each order must come back in `done` or `put_off`."""
        taken = self._line.take()
        if taken is None:
            return None
        key, reason = taken
        watch = self._watches[key]
        watch.new_tokens = 0
        task = watch.tasks[0] if watch.tasks else None
        close_at = watch.version if reason is Reason.IDLE else None
        if task:
            reason, close_at = Reason.REQUESTED, task.up_to_version
        cause = task.event_id if task else watch.event_id
        return Order(*key, reason, close_at, task, cause, watch.position, watch.version, watch.traces)

    def done(self, order: Order, left: Left | None, now_s: float) -> None:
        """The order is finished. `left` is None when it failed for good: the session is dropped until it moves."""
        watch = self._watches[order.key]
        self._free(order.key, watch)
        if order.task is not None:
            watch.tasks.popleft()
            self._tasks -= 1
        if watch.retracted <= order.position:
            watch.retracted = 0
        head = max(watch.version, left.version if left else order.version)
        fresh = max(0, watch.version - (left.version if left else order.version))
        watch.version, watch.covered_to = head, head - fresh - (left.turns if left else 0)
        watch.tokens = (left.tokens if left else 0) + (watch.new_tokens if fresh else 0)
        watch.first_position = order.position
        watch.traces = tuple(trace for trace in watch.traces if trace not in order.seen_in)
        self._settle(order.key, watch, now_s)
        self._unpark(order.tenant, now_s)

    def put_off(self, order: Order, until_s: float) -> None:
        """The order could not be worked on now; it comes back."""
        self._line.ended(order.key)
        heapq.heappush(self._put_off, (until_s, order.key, order.reason))

    def safe_position(self, last: int) -> int:
        """The position up to which nothing is pending, when all events up to `last` were noted."""
        pending = [self._pin(self._watches[key]) for key in self._busy]
        if first := next(iter(self._watches.values()), None):
            pending.append(first.position)
        return min([last, *(position - 1 for position in pending)])

    def _pin(self, watch: _Watch) -> int:
        """Where the log must be read again for this session to be due again."""
        asked = [task.position for task in watch.tasks] + ([watch.retracted] if watch.retracted else [])
        return min([watch.first_position, *asked])

    def _oldest(self, now_s: float, crowd: int) -> "list[tuple[Key, _Watch]]":
        """The sessions in front of the line: the crowd's worth, and all that have been silent long enough."""
        found: list[tuple[Key, _Watch]] = []
        for key, watch in self._watches.items():
            if len(found) >= crowd and now_s - watch.seen_s < self._policy.idle_s:
                break
            found.append((key, watch))
        return found

    def _standing(self, watch: _Watch, now_s: float) -> Standing:
        return Standing(
            uncovered_turns=watch.version - watch.covered_to,
            uncovered_tokens=watch.tokens,
            silent_s=now_s - watch.seen_s,
            retracted=watch.retracted > 0,
            requested=bool(watch.tasks),
        )

    def _settle(self, key: Key, watch: _Watch, now_s: float) -> None:
        """Queue the session if it is due; forget it if nothing can make it due but a new event."""
        if watch.busy:
            return
        standing = self._standing(watch, now_s)
        if reason := due(standing, self._policy):
            self._queue(key, watch, reason)
        elif not may_become_idle(standing, self._policy):
            del self._watches[key]
            self._known[key] = (watch.covered_to, watch.tokens)
            while len(self._known) > self._settings.remembered_max:
                self._known.popitem(last=False)

    def _new(self, key: Key) -> _Watch:
        """A session not watched until now. What is not known of its cover counts as uncovered: the job finds out."""
        covered_to, tokens = self._known.pop(key, (0, 0))
        watch = self._watches[key] = _Watch(covered_to=covered_to, version=covered_to, tokens=tokens)
        return watch

    def _queue(self, key: Key, watch: _Watch, reason: Reason, *, share: bool = True) -> None:
        """The session is due. Beyond its tenant's share it is set aside until one of the tenant's is done: what is due
        bounds the follower, and one tenant must not stop it for all. Meanwhile it holds the checkpoint as a waiting
        session does."""
        tenant = key[0]
        if share and reason not in URGENT and self._due.get(tenant, 0) >= self._settings.tenant_due_max:
            self._parked.setdefault(tenant, OrderedDict())[key] = None
            return
        watch.busy = True
        self._busy.add(key)
        self._due[tenant] = self._due.get(tenant, 0) + 1
        self._line.put(key, reason)

    def _free(self, key: Key, watch: _Watch) -> None:
        watch.busy = False
        self._busy.discard(key)
        self._line.ended(key)
        self._due[key[0]] -= 1
        if not self._due[key[0]]:
            del self._due[key[0]]

    def _unpark(self, tenant: str, now_s: float) -> None:
        """There is room for one more of the tenant's."""
        parked = self._parked.get(tenant)
        while parked and self._due.get(tenant, 0) < self._settings.tenant_due_max:
            key, _ = parked.popitem(last=False)
            if watch := self._watches.get(key):
                self._settle(key, watch, now_s)
        if not parked:
            self._parked.pop(tenant, None)
