"""Appending with the patience a background writer may have: unknown outcomes are asked again under the same keys."""

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from turnlog_compressor.ports import Append, Log
from turnlog_events.event import Event, NewEvent
from turnlog_eventstore import Appended, AppendRequest, OutcomeUnknown, Rejected, StoreUnavailable

ATTEMPTS = 5
BACKOFF_MAX_S = 5.0


class Writer:
    """Appends to one log, by `append` (the store's own when none is given)."""

    def __init__(self, log: str, store: Log, append: Append | None = None) -> None:
        self._log = log
        self._store = store
        self._append: Append = append or store.append

    async def append(self, event: NewEvent) -> Appended:
        """The event's place, or `Rejected` when its key holds another body. Raises the store's error after
        `ATTEMPTS` tries."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((OutcomeUnknown, StoreUnavailable)),
            wait=wait_random_exponential(multiplier=0.2, max=BACKOFF_MAX_S),
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        results: list[Appended] = await retrying(self._append, self._log, [AppendRequest((event,))])
        return results[0]

    async def summary(self, event: NewEvent) -> tuple[Event, bool]:
        """The summary as it stands in the log, and whether it is this one: the loser of a race gets the other's."""
        appended = await self.append(event)
        if not isinstance(appended, Rejected):
            placed = appended.events[0]
            return _as_stored(event, self._log, placed.event_id, placed.position, placed.recorded_at_us), True
        for stored in await self._store.marks(event.tenant, event.session_id):
            if stored.key == event.key:
                return stored, False
        raise StoreUnavailable(f"the event in conflict with {event.key} cannot be read")


def _as_stored(event: NewEvent, log: str, event_id: str, position: int, recorded_at_us: int) -> Event:
    """The event with its place (the chain hash is not needed here)."""
    return Event(
        log=log,
        position=position,
        event_id=event_id,
        tenant=event.tenant,
        session_id=event.session_id,
        version=None,
        type=event.type,
        schema_version=event.schema_version,
        key=event.key,
        recorded_at_us=recorded_at_us,
        causation_id=event.causation_id,
        correlation_id=event.correlation_id,
        trace=event.trace,
        payload=event.payload,
        payload_sha256=event.payload_sha256,
        key_id="",
        chain_hash=b"",
    )
