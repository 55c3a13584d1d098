"""GET /v1/logs/{log} and …/events: the history as it stands, for auditors of a tenant, and for the operator whole.

An event is given whole, its payload as the very bytes that were hashed, so that a reader can recompute
`payload_sha256` from the payload and `chain_hash` from the event before it (`turnlog_events.hashing` says
how). Gaps in positions are events of other tenants. A caller's `tenant` is None for the operator, who sees every log
and every tenant.
"""

import orjson

from turnlog_events.event import Event, rfc3339
from turnlog_eventstore import LogHead, UnknownLog
from turnlog_query.answer import Answer
from turnlog_query.deps import QueryDeps


async def log_head(deps: QueryDeps, tenant: str | None, log: str) -> Answer:
    """The newest position of the tenant's log and its chain hash. Raises `UnknownLog` for any other: that it exists
    is nothing to tell."""
    head = await _seen_head(deps, tenant, log)
    return Answer(
        orjson.dumps(
            {
                "log": head.log,
                "incarnation": head.incarnation,
                "position": head.position,
                "chain_hash": head.chain_hash.hex(),
            }
        )
    )


async def log_events(deps: QueryDeps, tenant: str | None, log: str, *, after: int, limit: int) -> Answer:
    """A tenant's events of its log after a position, in order; `next_after` is null when there were no more. Raises
    `UnknownLog` for any other log."""
    head = await _seen_head(deps, tenant, log)
    events = await deps.store.audit(log, tenant=tenant, after=after, limit=limit)
    next_after = str(events[-1].position) if len(events) == limit else "null"
    start = f'{{"log":"{log}","incarnation":"{head.incarnation}","after":{after},"events":['
    end = f'],"next_after":{next_after}}}'
    return Answer(b"".join((start.encode(), b",".join(map(audit_bytes, events)), end.encode())))


async def _seen_head(deps: QueryDeps, tenant: str | None, log: str) -> LogHead:
    if tenant is not None and log != await deps.log_of(tenant):
        raise UnknownLog(log)
    return await deps.store.head(log)


def audit_bytes(event: Event) -> bytes:
    """One event as JSON: the envelope, the hashes in hex, the payload's own bytes last."""
    envelope = {
        "position": event.position,
        "event_id": event.event_id,
        "tenant": event.tenant,
        "session_id": event.session_id,
        "version": event.version,
        "type": event.type,
        "schema_version": event.schema_version,
        "key": event.key,
        "recorded_at": rfc3339(event.recorded_at_us),
        "recorded_at_us": event.recorded_at_us,
        "causation_id": event.causation_id,
        "correlation_id": event.correlation_id,
        "trace": event.trace,
        "key_id": event.key_id,
        "payload_sha256": event.payload_sha256.hex(),
        "chain_hash": event.chain_hash.hex(),
    }
    return orjson.dumps(envelope)[:-1] + b',"payload":' + event.payload + b"}"
