"""The compressor's events as they are appended. Pure but for the fresh event id."""

from turnlog_compressor.orders import Order
from turnlog_compressor.plan import Step
from turnlog_compressor.summariser import Summary
from turnlog_events import event as ev
from turnlog_events.canonical import canonical
from turnlog_events.compose import fold
from turnlog_events.event import NewEvent
from turnlog_events.hashing import payload_hash
from turnlog_events.ids import new_id
from turnlog_events.payloads import CompressionEnded, MemorySummarized


def summary_payload(step: Step, summary: Summary, sources: tuple[str, ...], task_id: str | None) -> MemorySummarized:
    """The payload of a step's summary; `sources` are the event ids of the nodes it is made from."""
    return MemorySummarized(
        from_version=step.from_version,
        to_version=step.to_version,
        level=step.level,
        revision=step.revision,
        text=summary.text,
        lines=tuple(summary.lines),
        model=fold(summary.model),
        prompt_version=summary.prompt_version,
        tokens_in=summary.tokens_in,
        tokens_out=summary.tokens_out,
        sources=sources,
        task_id=task_id,
    )


def summary_event(order: Order, payload: MemorySummarized) -> NewEvent:
    """The event; it belongs to a task only when it ends it."""
    return _event(ev.SUMMARIZED, order, payload.key, payload.to_json(), payload.task_id)


def ended_event(event_type: str, order: Order, payload: CompressionEnded) -> NewEvent:
    """The event that ends a task without a summary."""
    return _event(event_type, order, payload.key, payload.to_json(), payload.task_id)


def _event(event_type: str, order: Order, key: str, body: dict[str, object], task_id: str | None) -> NewEvent:
    payload = canonical(body)
    return NewEvent(
        tenant=order.tenant,
        session_id=order.session_id,
        type=event_type,
        key=key,
        payload=payload,
        payload_sha256=payload_hash(payload),
        event_id=new_id(),
        causation_id=order.cause or None,
        correlation_id=task_id,
        trace=order.trace,
    )
