"""From events to changes of partitions. Pure: called by the applier with what it knows of each partition."""

from collections.abc import Iterable, Mapping, Sequence

from turnlog_events.effects import effect_of
from turnlog_events.event import Event
from turnlog_views.keys import identity_of, partition_of
from turnlog_views.partitions import Change, Effects, Partition
from turnlog_views.wire import effect_arguments


def changes_of(events: Sequence[Event], partitions: Mapping[int, Partition]) -> dict[int, Change]:
    """The change of each partition that an event touches, up to the last event, by the partition's number.

    Events at or below a partition's checkpoint, and those of partitions that are not given, are left out.
    """
    changes: dict[int, Change] = {}
    if not events:
        return changes
    last = events[-1].position
    for event in events:
        identity = identity_of(event.tenant, event.session_id)
        partition = partitions.get(partition_of(identity))
        if partition is None or event.position <= partition.checkpoint:
            continue
        arguments = effect_arguments(event.position, effect_of(event))
        if not arguments:
            continue
        change = changes.get(partition.number)
        if change is None:
            change = changes[partition.number] = Change(partition, last)
        effects = change.sessions.get(identity)
        if effects is None:
            effects = change.sessions[identity] = Effects()
        effects.add(arguments)
    return changes


def advances(partitions: Iterable[Partition], position: int, complete_run_id: str | None) -> list[Change]:
    """Changes without effects that bring partitions to `position`.

    With a `complete_run_id` those not yet stamped with it are stamped: they have all events up to `position` on the
    server of that id.
    """
    changes = []
    for partition in partitions:
        stamp = complete_run_id is not None and partition.run_id != complete_run_id
        if partition.checkpoint < position or stamp:
            changes.append(Change(partition, max(position, partition.checkpoint), stamp))
    return changes
