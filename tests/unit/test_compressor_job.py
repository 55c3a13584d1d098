"""One job on one session over a log in memory: what is made, from what, and that it survives kills and races."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from turnlog_compressor.cover import cover_of
from turnlog_compressor.job import Job, JobSettings
from turnlog_compressor.orders import Order, Task
from turnlog_compressor.plan import PlanSettings
from turnlog_compressor.policy import PolicySettings, Reason
from turnlog_compressor.runs import RunSettings
from turnlog_compressor.source import SourceTurn
from turnlog_compressor.summariser import Summariser, Summary
from turnlog_events import event as ev
from turnlog_events.compose import Line, Node
from turnlog_events.event import Event, NewEvent, rfc3339
from turnlog_events.fold import SessionState, fold, required_revision
from turnlog_events.hashing import payload_hash
from turnlog_events.payloads import MemorySummarized
from turnlog_events.upcast import payload_of
from turnlog_eventstore import Appended, AppendRequest, OutcomeUnknown, Placed, Rejected, Stored

SMALL = JobSettings(
    PlanSettings(
        PolicySettings(turns=8, tokens=400, idle_turns=2, tail_turns=2, tail_tokens=80),
        RunSettings(turns_min=3, tokens_min=150),
        fan_in=3,
        gap_versions=5,
    ),
    page_turns=12,
)


class Killed(BaseException):
    """The process ended here."""


class MemoryLog:
    """A session's log in memory, with the store's rules; dies at the `die_at`-th call when told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.started: set[str] = set()
        self.calls = 0
        self.die_at: tuple[int, str] | None = None
        self.version = 0
        self.clock_us = 0

    def put(self, event: NewEvent) -> Placed | None:
        """Append; None when the key holds another body."""
        for old in self.events:
            if old.key == event.key:
                same = old.payload_sha256 == event.payload_sha256
                place = Placed(old.key, "main", old.position, None, 0, True, old.event_id, old.chain_hash)
                return place if same else None
        version = None
        if event.takes_version:
            self.version += 1
            version = self.version
        position = len(self.events) + 1
        fields = ("main", position, event.event_id, event.tenant, event.session_id, version, event.type, 1, event.key)
        rest = (event.causation_id, event.correlation_id, None, event.payload, event.payload_sha256, "", b"")
        self.events.append(Event(*fields, self.clock_us, *rest))
        return Placed(event.key, "main", position, version, self.clock_us, False, event.event_id, bytes(32))

    def add(self, kind: str, key: str, body: dict[str, object], correlation_id: str | None = None) -> None:
        payload = orjson.dumps(body)
        fields = ("t", "s", kind, key, payload, payload_hash(payload), f"id-{key}")
        assert self.put(NewEvent(*fields, correlation_id=correlation_id)) is not None

    def say(self, count: int, words: int = 5, gap_s: int = 60) -> None:
        for _ in range(count):
            self.clock_us += gap_s * 1_000_000
            text = f"secret-{self.version + 1}- " + "word " * words
            self.add(ev.TURN_STORED, f"turn-{self.version + 1}", {"role": "user", "name": "Ann", "content": text})

    def retract(self, first: int, last: int) -> None:
        self.add(ev.TURNS_RETRACTED, f"retract/{len(self.events)}", {"from_version": first, "to_version": last})

    def summarise_elsewhere(self, first: int, last: int, level: int) -> None:
        """A summary where this release would not make one: of another release, or of a compressor that lost a race."""
        hidden = self.state.hidden
        versions = [v for v in range(first, last + 1) if not any(a <= v <= b for a, b in hidden)]
        lines = tuple(Line(v, 1.0, f"said-{v}") for v in versions)
        revision = required_revision(hidden, first, last)
        made = MemorySummarized(first, last, level, revision, "", lines, "other", "", 0, 0)
        if all(event.key != made.key for event in self.events):
            self.add(ev.SUMMARIZED, made.key, made.to_json())

    async def _step(self, moment: str) -> None:
        if moment == "before":
            self.calls += 1
        if self.die_at == (self.calls, moment):
            self.die_at = None
            raise Killed

    async def append(self, log: str, requests: Sequence[AppendRequest]) -> list[Appended]:
        await self._step("before")
        placed = self.put(requests[0].events[0])
        await self._step("after")
        return [Stored((placed,)) if placed else Rejected("conflict", self.version, requests[0].events[0].key)]

    async def turns(
        self,
        tenant: str,
        session_id: str,
        *,
        limit: int,
        after_version: int = 0,
        before_version: int | None = None,
        newest_first: bool = True,
    ) -> list[Event]:
        await self._step("before")
        assert not newest_first
        assert limit > 0
        end = before_version or 2**63
        found = [e for e in self.events if e.version is not None and after_version < e.version < end]
        return found[:limit]

    async def marks(self, tenant: str, session_id: str) -> list[Event]:
        await self._step("before")
        return [e for e in self.events if e.version is None]

    async def task_events(self, tenant: str, task_id: str) -> list[Event]:
        await self._step("before")
        return [e for e in self.events if e.correlation_id == task_id]

    async def start_task(self, tenant: str, task_id: str) -> None:
        await self._step("before")
        self.started.add(task_id)

    @property
    def state(self) -> SessionState:
        return fold(self.events)

    @property
    def summaries(self) -> list[dict[str, object]]:
        return [payload_of(e) for e in self.events if e.type == ev.SUMMARIZED]


class Notes(Summariser):
    """Summarises by naming the turns it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.most = 0
        self.calls = 0

    async def of_turns(self, turns: Sequence[SourceTurn], earlier: Sequence[Node], tenant: str = "") -> Summary:
        self.calls += 1
        self.most = max(self.most, len(turns))
        self.shown += [turn.text for turn in turns]
        assert all(node.to_version < turns[0].version for node in earlier)
        lines = tuple(Line(turn.version, 1.0, f"said-{turn.version}") for turn in turns)
        return Summary(lines, f"call {self.calls}", "notes", "1", 1, 1)

    async def of_nodes(self, nodes: Sequence[Node], level: int, tenant: str = "") -> Summary:
        self.calls += 1
        lines = tuple(line for node in nodes for line in node.lines)
        return Summary(lines, f"call {self.calls}", "notes", "1", 1, 1)


def order(log: MemoryLog, close_at: int | None = None, task_id: str | None = None) -> Order:
    task = Task(task_id, close_at or 0, "asked", 1) if task_id else None
    reason = Reason.REQUESTED if task else Reason.TURNS
    return Order("t", "s", reason, close_at, task, "", len(log.events), log.version)


async def compress(log: MemoryLog, close_at: int | None = None, task_id: str | None = None) -> Notes:
    notes = Notes()
    await Job("main", log, notes, SMALL, order(log, close_at, task_id)).run()  # type: ignore[arg-type]
    return notes


def ask(log: MemoryLog, task_id: str) -> None:
    body: dict[str, object] = {"task_id": task_id, "up_to_version": log.version}
    log.add(ev.COMPRESSION_REQUESTED, f"task/{task_id}/requested", body, correlation_id=task_id)


def ends(log: MemoryLog, task_id: str) -> list[Event]:
    own = [e for e in log.events if e.type != ev.COMPRESSION_REQUESTED]
    return [e for e in own if payload_of(e).get("task_id") == task_id]


def check_cover(log: MemoryLog, whole: bool = False) -> None:
    """Served summaries follow each other from version 1, tell every visible turn below their levels' choice once, and
    nothing that is hidden."""
    state = log.state
    reach = 0
    for node in state.nodes:
        assert node.from_version == reach + 1
        reach = node.to_version
    hidden = {v for first, last in state.hidden for v in range(first, last + 1)}
    told = [line[0] for node in state.nodes for line in orjson.loads(node.body)["lines"]]
    assert told == [v for v in range(1, reach + 1) if v not in hidden]
    if whole:
        assert all(v in hidden for v in range(reach + 1, log.version + 1))


async def test_a_busy_session_is_covered_but_for_its_tail() -> None:
    log = MemoryLog()
    log.say(8)
    await compress(log)
    assert [(n.from_version, n.to_version) for n in log.state.nodes] == [(1, 6)]


async def test_a_backlog_and_a_live_session_get_the_same_summaries() -> None:
    live, backlog = MemoryLog(), MemoryLog()
    for _ in range(60):
        live.say(1)
        await compress(live)
    backlog.say(60)
    await compress(backlog)
    keys = {e.key for e in backlog.events if e.type == ev.SUMMARIZED}
    assert keys == {e.key for e in live.events if e.type == ev.SUMMARIZED}
    assert any(key.startswith("summary/3/") for key in keys)


async def test_a_request_covers_everything_and_its_last_summary_ends_the_task() -> None:
    log = MemoryLog()
    log.say(50)
    ask(log, "one")
    await compress(log, log.version, "one")
    check_cover(log, whole=True)
    (end,) = ends(log, "one")
    assert end.type == ev.SUMMARIZED
    assert end.correlation_id == "one"
    assert end == log.events[-1]
    assert log.started == {"one"}
    assert [e.event_id for e in log.events if e.correlation_id == "one"] == ["id-task/one/requested", end.event_id]


async def test_a_request_with_nothing_to_do_is_skipped_and_one_replayed_is_left_alone() -> None:
    log = MemoryLog()
    log.say(5)
    for task_id in ("one", "two"):
        ask(log, task_id)
        await compress(log, log.version, task_id)
    (end,) = ends(log, "two")
    assert end.type == ev.COMPRESSION_SKIPPED
    assert payload_of(end)["reason"] == "nothing left to summarise: covered up to version 5"
    before = list(log.events)
    await compress(log, log.version, "one")
    await compress(log, log.version, "two")
    assert log.events == before


async def test_a_request_on_a_session_without_turns_is_skipped() -> None:
    log = MemoryLog()
    ask(log, "one")
    await compress(log, 0, "one")
    assert [e.type for e in ends(log, "one")] == [ev.COMPRESSION_SKIPPED]


async def test_a_request_leaves_turns_stored_after_it() -> None:
    log = MemoryLog()
    log.say(5)
    ask(log, "one")
    log.say(3)
    await compress(log, 5, "one")
    assert [n.to_version for n in log.state.nodes] == [5]


async def test_a_task_of_the_same_name_in_another_session_does_not_end_this_one() -> None:
    log = MemoryLog()
    payload = orjson.dumps({"task_id": "one", "reason": "x"})
    other = NewEvent("t", "other", ev.COMPRESSION_SKIPPED, "other/ended", payload, payload_hash(payload), "id-x")
    log.put(other)
    log.say(4)
    ask(log, "one")
    await compress(log, 4, "one")
    assert len([e for e in ends(log, "one") if e.session_id == "s"]) == 1


async def test_requests_after_every_turn_grow_one_summary_instead_of_many() -> None:
    log = MemoryLog()
    for _ in range(9):
        log.say(1)
        await compress(log, log.version)
    assert len(log.state.nodes) <= 4
    check_cover(log, whole=True)


async def test_a_retraction_remakes_what_it_touched_and_no_more() -> None:
    log = MemoryLog()
    log.say(60)
    await compress(log, log.version)
    before = {e.key for e in log.events if e.type == ev.SUMMARIZED}
    levels = {int(key.split("/")[1]) for key in before}
    log.retract(2, 2)
    notes = await compress(log)
    check_cover(log)
    made = [e.key for e in log.events if e.type == ev.SUMMARIZED and e.key not in before]
    assert len(made) == len(levels)
    assert all(key.endswith("/2") for key in made)
    assert not any("secret-2-" in text for text in notes.shown)


async def test_a_summary_wider_than_a_page_is_remade_without_losing_a_turn() -> None:
    log = MemoryLog()
    log.say(40)
    log.summarise_elsewhere(1, 40, level=1)
    log.retract(3, 3)
    notes = await compress(log, log.version)
    check_cover(log, whole=True)
    assert len(notes.shown) == 39
    assert notes.most <= SMALL.plan.leaf_turns
    assert (await compress(log, log.version)).calls == 0


async def test_a_session_cleared_whole_is_told_as_empty_and_goes_on() -> None:
    log = MemoryLog()
    log.say(30)
    await compress(log, log.version)
    log.retract(1, 30)
    notes = await compress(log)
    assert notes.shown == []
    log.say(12)
    await compress(log, log.version)
    check_cover(log, whole=True)


async def test_the_loser_of_a_race_goes_on_from_the_stored_summary() -> None:
    log = MemoryLog()
    log.say(60)
    await asyncio.gather(*(compress(log, log.version) for _ in range(3)))
    check_cover(log, whole=True)
    keys = [e.key for e in log.events]
    assert len(keys) == len(set(keys))


async def test_lineage_names_the_events_a_summary_was_made_from() -> None:
    log = MemoryLog()
    log.say(60)
    await compress(log, log.version)
    ids = {e.event_id: payload_of(e) for e in log.events if e.type == ev.SUMMARIZED}
    for node in ids.values():
        sources = [ids[source] for source in node["sources"]]
        assert bool(sources) == (node["level"] > 1)
        if sources:
            assert sources[0]["from_version"] == node["from_version"]
            assert sources[-1]["to_version"] == node["to_version"]
            assert all(a["to_version"] + 1 == b["from_version"] for a, b in pairwise(sources))


async def test_an_unknown_outcome_is_asked_again_under_the_same_key() -> None:
    class Forgetful(MemoryLog):
        lost = 2

        async def append(self, log: str, requests: Sequence[AppendRequest]) -> list[Appended]:
            stored = await super().append(log, requests)
            if self.lost:
                self.lost -= 1
                raise OutcomeUnknown("x")
            return stored

    log = Forgetful()
    log.say(5)
    ask(log, "one")
    await compress(log, 5, "one")
    assert len(log.summaries) == 1
    assert len(ends(log, "one")) == 1


async def calls_of_a_job() -> int:
    log = MemoryLog()
    log.say(40)
    ask(log, "one")
    await compress(log, log.version, "one")
    return log.calls


async def test_a_kill_at_any_call_is_made_good_by_the_next_job() -> None:
    calls = await calls_of_a_job()
    assert calls > 10
    for call in range(1, calls + 1):
        for moment in ("before", "after"):
            log = MemoryLog()
            log.say(40)
            ask(log, "one")
            log.die_at = (call, moment)
            try:
                await compress(log, log.version, "one")
            except Killed:
                await compress(log, log.version, "one")
            check_cover(log, whole=True)
            assert len(ends(log, "one")) == 1, (call, moment)
            assert len({e.key for e in log.events}) == len(log.events)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 25), st.sampled_from([5, 5, 60, 400]), st.sampled_from([60, 7_200])),
        st.tuples(st.just("retract"), st.integers(1, 80), st.integers(0, 30)),
        st.tuples(st.just("compress")),
        st.tuples(st.just("close"), st.integers(0, 10)),
        st.tuples(st.just("kill"), st.integers(1, 12)),
        st.tuples(st.just("foreign"), st.integers(1, 60), st.integers(0, 40), st.integers(1, 3)),
    ),
    max_size=14,
)


async def play(operations: Sequence[tuple[object, ...]]) -> None:
    log = MemoryLog()
    for name, *numbers in operations:
        a, b, c = ([int(str(n)) for n in numbers] + [0, 0, 0])[:3]
        if name == "say":
            log.say(a, b, c)
        elif name == "retract" and a <= log.version:
            log.retract(a, min(a + b, log.version))
        elif name == "foreign" and a <= log.version:
            log.summarise_elsewhere(a, min(a + b, log.version), level=c)
        elif name == "kill":
            log.die_at = (log.calls + a, "after" if a % 2 else "before")
            try:
                await compress(log, log.version)
            except Killed:
                continue
            log.die_at = None
        elif name in ("compress", "close"):
            hidden = {v for first, last in log.state.hidden for v in range(first, last + 1)}
            notes = await compress(log, max(0, log.version - a) if name == "close" else None)
            shown = {int(text.split("-")[1]) for text in notes.shown}
            assert not shown & hidden
            check_cover(log)
            assert (await compress(log, max(0, log.version - a) if name == "close" else None)).calls == 0
            assert cover_of([e for e in log.events if e.version is None]).to_version <= log.version
    await compress(log, log.version)
    check_cover(log, whole=True)


@given(OPERATIONS)
@example([("say", 14, 5, 60), ("foreign", 1, 13, 1), ("retract", 1, 0)])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_covers_are_whole_disjoint_and_stable_whatever_happens(operations: list[tuple[object, ...]]) -> None:
    asyncio.run(play(operations))


@pytest.mark.parametrize(("gap", "page"), [(40, 10), (40, 47), (60, 67)])
def test_a_page_smaller_than_what_a_summary_is_made_of_is_refused(gap: int, page: int) -> None:
    with pytest.raises(ValueError):
        JobSettings(PlanSettings(gap_versions=gap), page_turns=page)
    JobSettings(PlanSettings(gap_versions=gap), page_turns=gap + RunSettings().turns_min)


def test_times_of_turns_default_to_when_they_were_stored() -> None:
    from turnlog_compressor.transcript import piece_of

    log = MemoryLog()
    log.say(1)
    assert piece_of(log.events[0]).turn.at == rfc3339(60_000_000)
