"""Names on NATS: streams, subjects and hints of a log's incarnation.

A stream belongs to one incarnation of a log, so a database that was replaced or emptied never meets the messages of
another. The tenant is a subject token ('.' becomes '%', which no id holds); sessions are not, as JetStream keeps state
for each subject.
"""

from dataclasses import dataclass

ROOT = "turnlog"


@dataclass(frozen=True, slots=True)
class StreamName:
    """The names of one log's stream. `incarnation` is the log's random id (32 hex digits)."""

    log: str
    incarnation: str

    @property
    def stream(self) -> str:
        """The JetStream stream."""
        return f"TURNLOG_{self.log}_{self.incarnation[:12]}"

    @property
    def prefix(self) -> str:
        """What every subject of the stream starts with."""
        return f"{ROOT}.{self.log}.{self.incarnation[:12]}"

    @property
    def all_subjects(self) -> str:
        """The wildcard that the stream listens to."""
        return f"{self.prefix}.*.*"

    @property
    def hint(self) -> str:
        """Core-NATS subject on which writers tell the relay that the log moved. Not stored."""
        return f"{ROOT}.hint.{self.log}.{self.incarnation[:12]}"

    def subject(self, tenant: str, event_type: str) -> str:
        """The subject of an event."""
        return f"{self.prefix}.{tenant.replace('.', '%')}.{event_type}"
