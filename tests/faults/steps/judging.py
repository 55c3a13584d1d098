"""What must hold of a log after any crash, whatever the operation was."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from faults.steps.ground import Ground
from turnlog_events.errors import Corrupt
from turnlog_events.event import Event
from turnlog_events.hashing import GENESIS, check_event
from turnlog_eventstore import Store
from turnlog_projector.verify import VerifyOptions, verify
from turnlog_views import ViewWriter

AT_ONCE = VerifyOptions(settle_s=0)
EVENTS_MAX = 10_000
_UNFINISHED = ("read models are behind the log", "read models are not marked complete")


async def events_of(store: Store, log: str) -> list[Event]:
    """The whole log."""
    return await store.read_after(log, 0, EVENTS_MAX)


async def log_faults(store: Store, log: str, events: Sequence[Event]) -> list[str]:
    """Holes and inversions of positions and versions, a broken chain, an id stored twice, a head that is elsewhere."""
    wrong: list[str] = []
    chain, versions = GENESIS, defaultdict[tuple[str, str], int](int)
    for number, event in enumerate(events, 1):
        if event.position != number:
            wrong.append(f"position {event.position} stands where {number} should")
        try:
            check_event(chain, event)
        except Corrupt as error:
            wrong.append(f"position {event.position}: {error}")
        chain = event.chain_hash
        if event.version is not None:
            session = (event.tenant, event.session_id)
            versions[session] += 1
            if event.version != versions[session]:
                wrong.append(f"version {event.version} of {session} stands where {versions[session]} should")
    keys = Counter((e.tenant, e.session_id, e.key) for e in events)
    wrong += [f"{key} is stored {count} times" for key, count in keys.items() if count > 1]
    head = await store.head(log)
    if (head.position, head.chain_hash) != (len(events), chain):
        wrong.append(f"the head is {head.position}, the log has {len(events)} events")
    for (tenant, session), version in versions.items():
        if (found := await store.session_version(tenant, session)) != version:
            wrong.append(f"session {session} is said to be at version {found}, its turns at {version}")
    return wrong


def request_faults(events: Iterable[Event], requests: Mapping[str, Sequence[str]], *, all_stored: bool) -> list[str]:
    """Requests (name → their keys) that are stored in part, or not together; with `all_stored` also missing ones."""
    wrong: list[str] = []
    at = {event.key: event.position for event in events}
    for name, keys in requests.items():
        positions = [at[key] for key in keys if key in at]
        if not positions and not all_stored:
            continue
        if len(positions) != len(keys):
            wrong.append(f"of request {name} {len(positions)} of {len(keys)} events are stored")
        elif positions != list(range(positions[0], positions[0] + len(keys))):
            wrong.append(f"the events of request {name} do not stand together: {positions}")
    strangers = at.keys() - {key for keys in requests.values() for key in keys}
    return wrong + [f"{key} is stored and nobody sent it" for key in sorted(strangers)]


def answer_faults(events: Iterable[Event], answers: Mapping[str, Any]) -> list[str]:
    """Acknowledged places (name → [[key, position], …]) at which the log holds something else."""
    at = {event.position: event.key for event in events}
    return [
        f"{name} was answered {key} at {position}, where {at.get(position)} stands"
        for name, places in answers.items()
        for key, position in places
        if at.get(position) != key
    ]


async def view_faults(ground: Ground, store: Store, *, complete: bool) -> list[str]:
    """What `verify` finds. Unless they must be `complete`, read models may be behind the log or absent."""
    report = await verify(store, ViewWriter(ground.addresses.redis_url, ground.log), options=AT_ONCE)
    wrong = [
        f"{d.what} ({d.where}): {d.expected} expected, {d.found} found"
        for d in report.differences
        if complete or d.what not in _UNFINISHED
    ]
    if complete and report.absent:
        wrong.append(f"{report.absent} of {report.sessions} sessions are not in Redis")
    return wrong


async def views_complete(ground: Ground, store: Store) -> bool:
    """Whether every read model is complete, readable and what the log says."""
    return not await view_faults(ground, store, complete=True)
