"""The summaries of a session at hand during a job: their lines and event ids, parsed when asked for."""

from collections.abc import Iterable, Sequence

from turnlog_compressor.cover import Cover
from turnlog_events import event as ev
from turnlog_events.compose import Line, Node
from turnlog_events.event import Event
from turnlog_events.payloads import MemorySummarized
from turnlog_events.upcast import payload_of


class Nodes:
    """Stored summaries by key. Those that stand in the cover, and those made since, are the ones that tell what a
    session knows already."""

    def __init__(self, marks: Iterable[Event], cover: Cover) -> None:
        self._events = {event.key: event for event in marks if event.type == ev.SUMMARIZED}
        self._standing = [tile.mark.key for tile in cover.tiles if tile.mark is not None and tile.stands]
        self._parsed: dict[str, Node] = {}

    def event_id(self, key: str) -> str:
        """The id of the event under this key."""
        return self._events[key].event_id

    def of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys."""
        return [self._node(key) for key in keys]

    def before(self, version: int) -> list[Node]:
        """The standing nodes that end before `version`."""
        return [node for node in self.of(self._standing) if node.to_version < version]

    def add(self, event: Event) -> None:
        """A summary was stored."""
        self._events[event.key] = event
        self._standing.append(event.key)

    def _node(self, key: str) -> Node:
        if key not in self._parsed:
            stored = MemorySummarized.from_json(payload_of(self._events[key]))
            lines = tuple(Line(x.version, x.weight, x.text, x.speaker, x.at) for x in stored.lines)
            self._parsed[key] = Node(
                stored.from_version, stored.to_version, stored.level, stored.revision, lines, stored.text, stored.stats
            )
        return self._parsed[key]
