"""What may travel in the headers of messages: given and taken by somebody of whom the bus knows nothing else."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from turnlog_events.event import Event


class Carrier(Protocol):
    """Gives headers to what is published, and is shown those of what is consumed. Nothing of it may raise or wait."""

    def publishing(
        self, log: str, stream: str, events: Sequence[Event]
    ) -> AbstractContextManager[Mapping[int, Mapping[str, str]]]:
        """Entered around the publishing of events; what it gives are more headers, by position."""

    def received(self, log: str, position: int, headers: Mapping[str, str]) -> None:
        """An event came in a message with these headers."""
