"""What the read API is made of: built once at the composition root, passed to `create_app`."""

from dataclasses import dataclass, field
from functools import cached_property

from turnlog_events.ids import DEFAULT_LOG
from turnlog_query.hub import LiveHub
from turnlog_query.limits import Limits
from turnlog_query.ports import EventReads, ViewReads
from turnlog_query.reading import Reading
from turnlog_query.watch import StoreWatch


@dataclass(frozen=True)
class QueryDeps:
    """The stores, the live hub and the limits. `views` is None where there is no Redis.

    Somebody must run `background(deps, stop)` beside the app: it feeds the live streams and watches
    PostgreSQL.
    """

    store: EventReads
    views: ViewReads | None
    hub: LiveHub
    log: str = DEFAULT_LOG
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def watch(self) -> StoreWatch:
        """Knows whether PostgreSQL is away."""
        return StoreWatch(self.store, self.views, self.log, self.limits.watch_s)

    @cached_property
    def reading(self) -> Reading:
        """Reads of sessions: Redis first, PostgreSQL where it must be."""
        return Reading(self.store, self.views, self.log, self.limits)
