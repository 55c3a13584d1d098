"""Verification: recomputes every hash of a log and every read model from it, and lists what differs.

Called by `turnlog verify`. One pass over the log checks positions, payload hashes and the chain; at each session's
first turn its whole history is folded and held to what Redis has. Last, sessions in Redis that the log does not know
are looked for. A session's state in Redis is read together with its partition's checkpoint, at one moment, and the
fold goes just so far: nothing needs to stand still.

Memory: one page of the log and one session's window at a time per worker, whatever the number of sessions, and one
name per session in Redis while strangers are looked for.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from turnlog_events.errors import Corrupt, EventError
from turnlog_events.event import TURN_STORED, Event
from turnlog_events.fold import SessionState
from turnlog_events.hashing import GENESIS, chain_hash, payload_hash
from turnlog_projector.build import Progress
from turnlog_projector.held_to_log import first_mismatch
from turnlog_projector.history import fold_session
from turnlog_projector.ports import Audited
from turnlog_views.keys import identity_of, partition_of
from turnlog_views.partitions import Partition
from turnlog_views.wire import head_arguments
from turnlog_views.writer import Dump, ViewWriter


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """`settle_s` is how long read models may take to reach the head that the log had at first."""

    page_events: int = 1_000
    sessions_at_once: int = 8
    differences_max: int = 100
    settle_s: float = 10.0
    settle_poll_s: float = 0.2


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not what the log says: `where` is `log:position`, `tenant/session` or `partition n`.
    Contents are told by their SHA-256, never shown."""

    what: str
    where: str
    expected: str
    found: str


@dataclass(slots=True)
class VerifyReport:
    """What was checked and what differs. `absent` sessions are not in Redis (evicted, or not replayed yet): no
    error, their reads come from PostgreSQL. At most `differences_max` of `differing` are listed."""

    position: int = 0
    sessions: int = 0
    absent: int = 0
    differing: int = 0
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as the log says."""
        return self.differing == 0


async def verify(
    store: Audited,
    writer: ViewWriter,
    *,
    progress: Progress | None = None,
    options: VerifyOptions = VerifyOptions(),
) -> VerifyReport:
    """Verify the writer's log and its read models. Changes nothing.

    Needs a writer of its own, which it opens and closes.

    Raises the errors of store and views when either is away: what was checked up to then is lost.
    """
    check = _Verification(store, writer, options, progress)
    began = time.perf_counter()
    try:
        await check.run()
    finally:
        await writer.close()
    check.report.seconds = time.perf_counter() - began
    return check.report


class _Verification:
    """One run of `verify`."""

    def __init__(self, store: Audited, writer: ViewWriter, options: VerifyOptions, progress: Progress | None) -> None:
        self._store, self._writer, self._options, self._progress = store, writer, options, progress
        self._generations: list[int] = []
        self.report = VerifyReport()

    async def run(self) -> None:
        """All checks."""
        name = self._writer.log
        head = await self._store.head(name)
        await self._writer.open(head.incarnation, head.epoch)
        await self._settle(head.position)
        chain = GENESIS
        while self.report.position < head.position:
            page = await self._store.read_after(name, self.report.position, self._options.page_events)
            if not page:
                self._differs("log ends early", f"{name}:{self.report.position}", str(head.position), "no event")
                break
            for event in page:
                self._check_event(chain, event)
                chain, self.report.position = event.chain_hash, event.position
            await self._check_sessions([e for e in page if e.type == TURN_STORED and e.version == 1])
            if self._progress:
                self._progress(self.report.position, head.position)
        if self.report.position == head.position and chain != head.chain_hash:
            self._differs("chain hash of the head", f"{name}:{head.position}", head.chain_hash.hex(), chain.hex())
        await self._check_strangers()

    async def _settle(self, position: int) -> None:
        """Wait until every partition is at `position` and readable; one that is not in time is a difference."""
        deadline = time.monotonic() + self._options.settle_s
        while True:
            partitions = await self._writer.partitions()
            late = [p for p in partitions if p.checkpoint < position or not self._writer.readable(p)]
            if not late or time.monotonic() > deadline:
                break
            await asyncio.sleep(self._options.settle_poll_s)
        self._generations = [p.generation for p in partitions]
        for partition in late:
            self._late(partition, position)
        mismatch = await first_mismatch(self._store, self._writer.log, partitions)
        if mismatch is not None:
            where = f"partition {mismatch.partition}"
            self._differs("read models are of another history", where, mismatch.expected, mismatch.found)

    def _late(self, partition: Partition, position: int) -> None:
        where = f"partition {partition.number}"
        if partition.checkpoint < position:
            self._differs("read models are behind the log", where, str(position), str(partition.checkpoint))
        else:
            self._differs("read models are not marked complete", where, self._writer.stamp, partition.stamp)

    def _check_event(self, chain: bytes, event: Event) -> None:
        where = f"{event.log}:{event.position}"
        if event.position != self.report.position + 1:
            self._differs("position", where, str(self.report.position + 1), str(event.position))
        if (found := payload_hash(event.payload)) != event.payload_sha256:
            self._differs("payload hash", where, event.payload_sha256.hex(), found.hex())
        if (expected := chain_hash(chain, event)) != event.chain_hash:
            self._differs("chain hash", where, expected.hex(), event.chain_hash.hex())

    async def _check_sessions(self, firsts: Sequence[Event]) -> None:
        """Hold the sessions that begin with these turns to Redis."""
        for at in range(0, len(firsts), self._options.sessions_at_once):
            some = firsts[at : at + self._options.sessions_at_once]
            identities = [identity_of(e.tenant, e.session_id) for e in some]
            generations = [self._generations[partition_of(identity)] for identity in identities]
            dumps = await self._writer.dumps(generations, identities)
            checks = [self._check_session(i, dump) for i, dump in zip(identities, dumps, strict=True)]
            for outcome in await asyncio.gather(*checks, return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def _check_session(self, identity: str, dump: Dump | None) -> None:
        self.report.sessions += 1
        if dump is None:
            self.report.absent += 1
            return
        try:
            expected = await fold_session(self._store, identity, dump.checkpoint, dump.window)
        except (EventError, Corrupt, KeyError, TypeError, ValueError) as error:
            self._differs("history cannot be folded", identity, "a readable history", type(error).__name__)
            return
        for what, want, found in differences(identity, expected, dump.state):
            self._differs(what, identity, want, found)

    async def _check_strangers(self) -> None:
        """Sessions in Redis that the log does not know."""
        seen: set[str] = set()
        for generation in sorted(set(self._generations)):
            async for page in self._writer.identities(generation):
                for identity in page:
                    if identity in seen or self._generations[partition_of(identity)] != generation:
                        continue
                    seen.add(identity)
                    if not await self._store.session_version(*identity.split("/", 1)):
                        self._differs("session that the log does not know", identity, "nothing", "a read model")

    def _differs(self, what: str, where: str, expected: str, found: str) -> None:
        self.report.differing += 1
        if len(self.report.differences) < self._options.differences_max:
            self.report.differences.append(Difference(what, where, expected, found))


_HEAD_NAMES = (
    "identity",
    "version",
    "revision",
    "position",
    "tokens",
    "first_us",
    "last_us",
    "agents",
    "users",
    "hidden",
    "summaries",
    "number of turns",
)


def differences(identity: str, expected: SessionState, found: SessionState) -> list[tuple[str, str, str]]:
    """What differs between two states of a session: (what, expected, found). Empty when they are the same."""
    if expected == found:
        return []
    heads = zip(_HEAD_NAMES, head_arguments(identity, expected), head_arguments(identity, found), strict=True)
    out = [(what, str(want), str(got)) for what, want, got in heads if want != got]
    out += _differing("turn", dict(expected.turns), dict(found.turns))
    out += _differing(
        "summary",
        {node.from_version: node.body for node in expected.nodes},
        {node.from_version: node.body for node in found.nodes},
    )
    return out


def _differing(what: str, expected: dict[int, bytes], found: dict[int, bytes]) -> list[tuple[str, str, str]]:
    return [
        (f"{what} {number}", _told(expected.get(number)), _told(found.get(number)))
        for number in sorted(expected.keys() | found.keys())
        if expected.get(number) != found.get(number)
    ]


def _told(data: bytes | None) -> str:
    return "absent" if data is None else f"sha256 {payload_hash(data).hex()}"
