"""From events to changes of partitions. Pure: called by the applier with what it knows of each partition."""

from collections.abc import Iterable, Mapping, Sequence

from turnlog_events.effects import Effect, effect_of
from turnlog_events.event import Event
from turnlog_views.keys import identity_of, partition_of
from turnlog_views.partitions import Change, Effects, Partition
from turnlog_views.wire import effect_arguments


def effects_of(events: Sequence[Event]) -> list[Effect]:
    """The effect of each event. Most of it is counting tokens, which lets other threads run."""
    return [effect_of(event) for event in events]


def changes_of(
    events: Sequence[Event], partitions: Mapping[int, Partition], effects: Sequence[Effect] | None = None
) -> dict[int, Change]:
    """The change of each partition that an event touches, up to the last event, by the partition's number.

    Events at or below a partition's checkpoint, and those of partitions that are not given, are left out. `effects`
    are those of the events when they are already known.
    """
    changes: dict[int, Change] = {}
    if not events:
        return changes
    last = events[-1].position
    for at, event in enumerate(events):
        identity = identity_of(event.tenant, event.session_id)
        partition = partitions.get(partition_of(identity))
        if partition is None or event.position <= partition.checkpoint:
            continue
        effect = effects[at] if effects is not None else effect_of(event)
        if effect is None:
            continue
        change = changes.get(partition.number)
        if change is None:
            change = changes[partition.number] = Change(partition, last)
        session = change.sessions.get(identity)
        if session is None:
            session = change.sessions[identity] = Effects()
        session.add(effect_arguments(event.position, effect))
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
