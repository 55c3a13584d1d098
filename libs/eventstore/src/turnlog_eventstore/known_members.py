"""Which agents and users this process has already recorded in their sessions.

It spares the append two statements for every turn of a conversation but its first. Rows once written stay, so to know
them is safe; whoever is not known here is looked up in PostgreSQL.
"""

from collections import OrderedDict
from collections.abc import Iterable

from turnlog_events.event import NewEvent

KNOWN_MAX = 20_000
Member = tuple[str, str, str | None, str | None]


class KnownMembers:
    """The pairs of session and members seen last, bounded."""

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known_max = known_max
        self._known: OrderedDict[Member, None] = OrderedDict()

    def may_be_new(self, event: NewEvent) -> bool:
        """Whether the event's agent or user might not be recorded in its session yet."""
        return (event.agent_id is not None or event.user_id is not None) and _member(event) not in self._known

    def learn(self, events: Iterable[NewEvent]) -> None:
        """These events are stored, and so are their members."""
        for event in events:
            if event.agent_id is not None or event.user_id is not None:
                member = _member(event)
                self._known[member] = None
                self._known.move_to_end(member)
        while len(self._known) > self._known_max:
            self._known.popitem(last=False)


def _member(event: NewEvent) -> Member:
    return (event.tenant, event.session_id, event.agent_id, event.user_id)
