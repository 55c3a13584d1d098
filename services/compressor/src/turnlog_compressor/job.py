"""One order, start to end: read the session, plan, make each summary, append it.

Enters: an order of the watchlist. Leaves: summaries in the log, and what is left uncovered. Every step can be killed: a
job derives all it does from stored events, and what is stored is stored under keys that a second job plans again.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from turnlog_compressor.cover import Cover, cover_of
from turnlog_compressor.metrics import COMPRESSION_SECONDS, SUMMARIES, TOKENS_COVERED, TOKENS_OF_TEXTS
from turnlog_compressor.nodes import Nodes
from turnlog_compressor.orders import Left, Order, Task
from turnlog_compressor.plan import Page, PlanSettings, Step, first_wanted, plan
from turnlog_compressor.ports import Append, Log
from turnlog_compressor.records import ended_event, summary_event, summary_payload
from turnlog_compressor.summariser import EXTRACTIVE, Summariser, Summary
from turnlog_compressor.transcript import Piece, piece_of, visible_ranges
from turnlog_compressor.writer import Writer
from turnlog_events import event as ev
from turnlog_events.event import Event
from turnlog_events.payloads import CompressionEnded
from turnlog_events.upcast import payload_of

NO_VERSION = 2**62
_EMPTY = Summary((), "", EXTRACTIVE, "", 0, 0)

_log = structlog.get_logger()


class PlanStuck(Exception):
    """The same summary was planned twice: what was stored did not change the cover."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """`page_turns` turns are held in memory at a time; it must exceed what one summary is made of."""

    plan: PlanSettings = field(default_factory=PlanSettings)
    page_turns: int = 100

    def __post_init__(self) -> None:
        if self.page_turns < self.plan.leaf_turns + self.plan.runs.turns_min:
            raise ValueError("a page must hold more turns than a window and than a stretch of a hole")


@dataclass(frozen=True, slots=True)
class JobResult:
    """What is left uncovered, how many summaries were made, and `ended` for a task: done, skipped or None."""

    left: Left
    made: int
    ended: str | None = None


class Job:
    """One order on one session of one log."""

    def __init__(
        self,
        log: str,
        store: Log,
        summariser: Summariser,
        settings: JobSettings,
        order: Order,
        append: Append | None = None,
    ) -> None:
        self._store = store
        self._summariser = summariser
        self._settings = settings
        self._order = order
        self._writer = Writer(log, store, append)
        self._made: set[str] = set()
        self._ended: str | None = None

    async def run(self) -> JobResult:
        """Do all there is to do. Raises the store's errors (the order may be tried again) and `PlanStuck`."""
        task = self._order.task
        if task is not None:
            if await self._has_ended(task):
                self._ended = "done"
            else:
                await self._store.start_task(self._order.tenant, task.task_id)
        while True:
            marks = await self._store.marks(self._order.tenant, self._order.session_id)
            cover = await asyncio.to_thread(cover_of, marks)
            page = await self._page(cover)
            steps = plan(cover, page, self._settings.plan)
            nodes = Nodes(marks, cover)
            for step in steps:
                last = page.whole and step is steps[-1]
                await self._make(step, page, cover, nodes, task if last and self._ended is None else None)
            if page.whole or not steps:
                break
        if task is not None and self._ended is None:
            # asked again: another compressor may have ended it since, with the very summaries found here
            self._ended = "done" if await self._has_ended(task) else await self._skip(task, cover)
        return JobResult(_left(cover, page, steps, self._order), len(self._made), self._ended)

    async def fail(self, task: Task, error: Exception) -> None:
        """End a task that cannot be done; the reason names the kind of error and no content."""
        reason = f"internal error ({type(error).__name__})"
        event = ended_event(ev.COMPRESSION_FAILED, self._order, CompressionEnded(task.task_id, reason))
        await self._writer.append(event)

    async def _has_ended(self, task: Task) -> bool:
        events = await self._store.task_events(self._order.tenant, task.task_id)
        return any(
            event.session_id == self._order.session_id
            and event.type != ev.COMPRESSION_REQUESTED
            and payload_of(event).get("task_id") == task.task_id
            for event in events
        )

    async def _skip(self, task: Task, cover: Cover) -> str:
        to = cover.to_version
        reason = f"nothing left to summarise: covered up to version {to}" if to else "nothing to summarise"
        event = ended_event(ev.COMPRESSION_SKIPPED, self._order, CompressionEnded(task.task_id, reason))
        await self._writer.append(event)
        return "skipped"

    async def _page(self, cover: Cover) -> Page:
        """The visible turns that the plan needs, at most `page_turns` of them."""
        close_at = self._order.close_at
        last = close_at if close_at is not None else NO_VERSION
        start = first_wanted(cover, self._settings.plan)
        pieces = await self._pieces(visible_ranges(start, last, cover.hidden), self._settings.page_turns + 1)
        whole = len(pieces) <= self._settings.page_turns
        return Page(tuple(pieces[: self._settings.page_turns]), whole, close=close_at is not None)

    async def _pieces(self, ranges: Iterable[tuple[int, int]], limit: int) -> list[Piece]:
        """The turns of the ranges in order, at most `limit`."""
        pieces: list[Piece] = []
        for first, last in ranges:
            events = await self._store.turns(
                self._order.tenant,
                self._order.session_id,
                after_version=first - 1,
                before_version=last + 1,
                limit=limit - len(pieces),
                newest_first=False,
            )
            pieces += await asyncio.to_thread(_pieces_of, events)
            if len(pieces) >= limit:
                break
        return pieces

    async def _make(self, step: Step, page: Page, cover: Cover, nodes: Nodes, task: Task | None) -> None:
        """Make and store one summary; `task` ends with it."""
        if step.key in self._made:
            raise PlanStuck(step.key)
        self._made.add(step.key)
        started = time.monotonic()
        summary = await self._text(step, page, cover, nodes)
        sources = tuple(nodes.event_id(key) for key in step.sources)
        payload = summary_payload(step, summary, sources, task.task_id if task else None)
        stored, ours = await self._writer.summary(summary_event(self._order, payload))
        nodes.add(stored)
        if task is not None and ours:
            self._ended = "done"
        outcome = "fallback" if summary.fell_back else "summarised"
        COMPRESSION_SECONDS.labels(outcome, summary.model_kind).observe(time.monotonic() - started)
        if ours:
            SUMMARIES.labels(str(step.level), summary.model_kind).inc()
            TOKENS_COVERED.inc(summary.covered_tokens)
            TOKENS_OF_TEXTS.inc(summary.text_tokens)
        _log.info("summary_stored", key=step.key, model=summary.model, outcome=outcome, ours=ours)

    async def _text(self, step: Step, page: Page, cover: Cover, nodes: Nodes) -> Summary:
        if step.level > 1:
            if not step.sources:
                return _EMPTY
            return await self._summariser.of_nodes(nodes.of(step.sources), step.level, self._order.tenant)
        pieces = [p for p in page.pieces if step.from_version <= p.version <= step.to_version]
        visible = visible_ranges(step.from_version, step.to_version, cover.hidden)
        wanted = cover.visible(step.from_version, step.to_version)
        if len(pieces) < wanted:
            pieces = await self._pieces(visible, wanted)  # all of them: the plan keeps this below a page
        if not pieces:
            return _EMPTY
        turns, earlier = [p.turn for p in pieces], nodes.before(step.from_version)
        return await self._summariser.of_turns(turns, earlier, self._order.tenant)


def _pieces_of(events: Sequence[Event]) -> list[Piece]:
    return [piece_of(event) for event in events]


def _left(cover: Cover, page: Page, steps: Sequence[Step], order: Order) -> Left:
    """What stays uncovered up to the version that the order was about (or up to the head)."""
    covered_to = max([cover.to_version, *(step.to_version for step in steps)])
    rest = [piece for piece in page.pieces if piece.version > covered_to]
    seen = order.version if order.close_at is None else order.close_at
    version = max([seen, covered_to, *(piece.version for piece in rest)])
    return Left(version, len(rest), sum(piece.tokens for piece in rest))
