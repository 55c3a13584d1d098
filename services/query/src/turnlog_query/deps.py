"""What the read API is made of: built once at the composition root, passed to `create_app`."""

from dataclasses import dataclass, field
from functools import cached_property

from turnlog_events.ids import DEFAULT_LOG
from turnlog_query.limits import Limits
from turnlog_query.logs import Hubs, OneLog
from turnlog_query.ports import EventReads, LogOfTenant, ViewReads
from turnlog_query.reading import Reading
from turnlog_query.watch import StoreWatch


@dataclass(frozen=True)
class QueryDeps:
    """The stores, the live hubs, which log a tenant lives in, and the limits. `views` is None where there is no Redis.

    Somebody must run `background(deps, stop)` beside the app: it feeds the live streams and watches
    PostgreSQL.
    """

    store: EventReads
    views: ViewReads | None
    hubs: Hubs
    log: str = DEFAULT_LOG
    """The log of tenants without another."""
    limits: Limits = field(default_factory=Limits)
    tenant_logs: LogOfTenant | None = None
    """Which log a tenant lives in; None: all in `log`."""

    @cached_property
    def logs(self) -> LogOfTenant:
        """Which log a tenant lives in."""
        return self.tenant_logs or OneLog(self.log)

    @cached_property
    def watch(self) -> StoreWatch:
        """Knows whether PostgreSQL is away."""
        return StoreWatch(self.store, self.views, self.log, self.limits.watch_s, self.limits.look_s)

    @cached_property
    def _readings(self) -> dict[str, Reading]:
        return {}

    async def log_of(self, tenant: str) -> str:
        """The log that the tenant lives in; without asking anybody for a tenant known here."""
        return self.logs.known(tenant) or await self.logs.of(tenant)

    def known_reading(self, tenant: str) -> Reading | None:
        """Reads of the tenant's sessions (Redis first, PostgreSQL where it must be), if its log is known."""
        log = self.logs.known(tenant)
        return self._reading_of(log) if log is not None else None

    async def reading(self, tenant: str) -> Reading:
        """As `known_reading`; asks PostgreSQL for a log that is not known. Raises `StoreError`."""
        return self._reading_of(await self.log_of(tenant))

    def _reading_of(self, log: str) -> Reading:
        reading = self._readings.get(log)
        if reading is None:
            self.watch.serve(log)
            reading = self._readings[log] = Reading(self.store, self.views, log, self.limits)
        return reading
