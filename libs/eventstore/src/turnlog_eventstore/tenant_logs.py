"""Which log a tenant lives in, from a bounded cache that asks PostgreSQL when it does not know.

A tenant with a session can never move, so its log is known for good. Until then it may still be assigned to another
log, so what is known of it is asked again after a few seconds; the append has the last word (`wrong_log`). Another
PostgreSQL (`epoch`) may be one restored to before an assignment, where the append has nothing to refuse by: all is
asked anew there.
"""

import math
import time
from collections import OrderedDict

from turnlog_eventstore.errors import StoreError
from turnlog_eventstore.store import Store

KNOWN_MAX = 100_000
UNSETTLED_S = 5.0
RECHECK_DEADLINE_S = 1.0


class TenantLogs:
    """The logs of the tenants seen last. One for each process, shared by all its requests."""

    def __init__(self, store: Store, default_log: str, known_max: int = KNOWN_MAX) -> None:
        """`default_log` is where tenants without an assignment live."""
        self._store, self._default_log, self._known_max = store, default_log, known_max
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        store.on_epoch(lambda _: self._known.clear())

    def known(self, tenant: str) -> str | None:
        """The tenant's log if it is known without asking; else None."""
        found = self._known.get(tenant)
        return found[0] if found is not None and found[1] > time.monotonic() else None

    async def of(self, tenant: str) -> str:
        """The tenant's log. What was known before is answered when PostgreSQL is away; else raises `StoreError`."""
        found = self._known.get(tenant)
        if found is not None and found[1] > time.monotonic():
            return found[0]
        epoch = self._store.epoch
        try:
            assigned, settled = await self._store.tenant_log(tenant, RECHECK_DEADLINE_S if found is not None else None)
        except StoreError:
            if found is None:
                raise
            assigned, settled = found[0], False
        log = assigned or self._default_log
        settled = settled and self._store.epoch == epoch  # else the answer may be of the server before
        self._known[tenant] = (log, math.inf if settled else time.monotonic() + UNSETTLED_S)
        self._known.move_to_end(tenant)
        while len(self._known) > self._known_max:
            self._known.popitem(last=False)
        return log

    def forget(self, tenant: str) -> None:
        """Ask again next time: the append refused the tenant in the log it was thought to live in."""
        self._known.pop(tenant, None)
