"""What may watch a store: somebody who is told of each call, and of whom the store knows nothing else."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from turnlog_eventstore.append import Appended, AppendRequest


class Observer(Protocol):
    """Watches calls. Nothing of it may raise or wait."""

    def reading(self, name: str) -> AbstractContextManager[Any]:
        """Entered around the reading of a named statement for a tenant."""

    def appending(
        self, log: str, requests: Sequence[AppendRequest]
    ) -> AbstractContextManager[Callable[[Sequence[Appended] | BaseException], None]]:
        """Entered around an append's transaction; what it gives is called with the results, or with the error. It is
        not called when `admit` raised something of its own: then PostgreSQL was not asked."""
