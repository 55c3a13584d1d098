"""From events to changes of partitions. Pure: called by the applier with what it knows of each partition."""

from collections.abc import Iterable, Mapping, Sequence

from turnlog_events.effects import effects_of
from turnlog_events.event import Event
from turnlog_views.keys import identity_of, partition_of
from turnlog_views.partitions import Change, Effects, Partition
from turnlog_views.wire import Argument, effect_arguments

Arguments = tuple[Argument, ...]


def changes_of(
    events: Sequence[Event], partitions: Mapping[int, Partition], known: Sequence[Arguments] | None = None
) -> dict[int, Change]:
    """The change of each partition that an event touches, up to the last event, by the partition's number.

    Events at or below a partition's checkpoint, and those of partitions that are not given, are left out. `known`
    are the events' effects as arguments (`wire.effect_arguments`), when they were computed before.
    """
    changes: dict[int, Change] = {}
    sessions: dict[tuple[str, str], tuple[int, Effects]] = {}
    lacking: list[tuple[int, Effects]] = []
    for at, event in enumerate(events):
        name = (event.tenant, event.session_id)
        found = sessions.get(name)
        if found is None:
            found = sessions[name] = _session(name, partitions, changes, events[-1])
        checkpoint, session = found
        if event.position > checkpoint:
            lacking.append((at, session))
    if known is None:
        found_now = effects_of([events[at] for at, _ in lacking])
        made = [effect_arguments(events[at].position, e) for (at, _), e in zip(lacking, found_now, strict=True)]
    else:
        made = [known[at] for at, _ in lacking]
    for (_, session), arguments in zip(lacking, made, strict=True):
        if arguments:
            session.add(arguments)
    return {number: change for number, change in changes.items() if _drop_empty(change)}


def _session(
    name: tuple[str, str], partitions: Mapping[int, Partition], changes: dict[int, Change], last: Event
) -> tuple[int, Effects]:
    """The checkpoint below which a session has everything, and where its effects go."""
    identity = identity_of(*name)
    partition = partitions.get(partition_of(identity))
    if partition is None:
        return last.position, Effects()
    change = changes.get(partition.number)
    if change is None:
        change = changes[partition.number] = Change(partition, last.position, chain=last.chain_hash.hex())
    session = change.sessions[identity] = Effects()
    return partition.checkpoint, session


def _drop_empty(change: Change) -> bool:
    """Leave sessions without effects out; whether any is left."""
    change.sessions = {identity: effects for identity, effects in change.sessions.items() if effects.count}
    return bool(change.sessions)


def advances(partitions: Iterable[Partition], position: int, chain: str, complete_stamp: str | None) -> list[Change]:
    """Changes without effects that bring partitions to `position`, where the log's chain hash (hex) is `chain`.

    With a `complete_stamp` those not yet stamped with it are stamped: they have all events up to `position` on the
    servers that it names.
    """
    changes = []
    for partition in partitions:
        stamp = complete_stamp is not None and partition.stamp != complete_stamp
        if partition.checkpoint < position:
            changes.append(Change(partition, position, stamp, chain=chain))
        elif stamp:
            changes.append(Change(partition, partition.checkpoint, stamp, chain=partition.chain))
    return changes
