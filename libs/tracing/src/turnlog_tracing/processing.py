"""Spans of a follower's batches: CONSUMER spans, and below them what is written to Redis.

A batch is worked on between the moment the follower gives it and the moment it is asked for the next one.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol, TypeVar, cast

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from turnlog_events.event import Event
from turnlog_tracing.bus import BusSpans, about
from turnlog_tracing.context import ROOT, below_text
from turnlog_tracing.groups import Group, grouped, stored_trace

REDIS: dict[str, AttributeValue] = {"db.system.name": "redis", "db.operation.name": "FCALL"}


class Batch(Protocol):
    """A contiguous part of a log; see `turnlog_follow.Batch`."""

    @property
    def events(self) -> Sequence[Event]:
        """In order."""

    @property
    def last(self) -> int:
        """The position of the last."""

    @property
    def from_bus(self) -> bool:
        """Whether NATS sent them."""


B = TypeVar("B", bound=Batch)


class Processing:
    """The batches of one log that one consumer works through, one after the other."""

    def __init__(self, tracer: Tracer, log: str, consumer: str, carried: BusSpans | None) -> None:
        self._tracer, self._log, self._consumer, self._carried = tracer, log, consumer, carried
        self._open: list[tuple[Group, Span]] = []
        self._written = 0

    async def batches(self, batches: AsyncIterator[B]) -> AsyncGenerator[B, None]:
        """The same batches, watched."""
        async with aclosing(cast("AsyncGenerator[B, None]", batches)):
            async for batch in batches:
                with self._working_on(batch):
                    yield batch

    @contextmanager
    def _working_on(self, batch: Batch) -> Iterator[None]:
        context_of = self._carried.carried if self._carried is not None else stored_trace
        groups = grouped(batch.events, time.time(), context_of) if batch.events else ()
        began_ns = time.time_ns()
        self._open = [(group, self._begun(group, began_ns, from_bus=batch.from_bus)) for group in groups]
        try:
            yield
        except BaseException:  # the worker gave up: it begins again from its checkpoint
            for _, span in self._open:
                span.set_attribute("error.type", "given_up")
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            for _, span in self._open:
                span.end()
            self._open = []
            if self._carried is not None:
                self._carried.forget(self._log, batch.last)

    def _begun(self, group: Group, began_ns: int, *, from_bus: bool) -> Span:
        attributes = {
            "messaging.system": "nats" if from_bus else "postgresql",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": self._log,
            "messaging.consumer.group.name": self._consumer,
            **about(group),
        }
        return self._tracer.start_span(
            f"process {self._log}", below_text(group.traceparent), SpanKind.CONSUMER, attributes, (), began_ns
        )

    @contextmanager
    def writing(self, name: str, up_to: int, commands: int) -> Iterator[None]:
        """Around a write to Redis of what the batch has up to a position: a span for each trace in it."""
        began_ns = time.time_ns()
        attributes: dict[str, AttributeValue] = {
            **REDIS,
            "db.stored_procedure.name": name,
            "db.operation.batch.size": commands,
        }
        spans = [
            self._tracer.start_span(
                f"FCALL {name}",
                set_span_in_context(span, ROOT),
                SpanKind.CLIENT,
                {**attributes, "turnlog.position": group.first},
                (),
                began_ns,
            )
            for group, span in self._open
            if group.first <= up_to and group.last > self._written
        ]
        try:
            yield
            self._written = up_to
        except BaseException as error:
            for span in spans:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            for span in spans:
                span.end()
