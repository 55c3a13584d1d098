"""The accounts of every caller that was seen lately: a tenant's, and those of each of its credentials.

Bounded: beyond `TENANTS_MAX` tenants, or `KEYS_MAX` credentials of one, the one seen longest ago is forgotten. What it
held leased lapses in Redis as if it had been spent.
"""

from collections import OrderedDict

from turnlog_limits.counter import subject_of
from turnlog_limits.leases import Account
from turnlog_limits.limit import Limit

TENANTS_MAX = 10_000
KEYS_MAX = 1_000

Accounts = tuple[Account, ...]


class Caller:
    """One credential of one tenant: by unit, the accounts that a cost is taken from."""

    __slots__ = ("by_unit",)

    def __init__(self, by_unit: dict[str, Accounts]) -> None:
        self.by_unit = by_unit


class Callers:
    """Finds the caller of a request."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._key_limits = tuple(limit for limit in limits if limit.per == "key")
        self._tenant_limits = tuple(limit for limit in limits if limit.per == "tenant")
        self._units = tuple(dict.fromkeys(limit.unit for limit in limits))
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()

    def find(self, tenant: str, credential: str) -> Caller:
        """The caller with this credential."""
        known = self._tenants.get(tenant)
        if known is None:
            subject = subject_of(tenant)
            known = self._tenants[tenant] = _Tenant(tuple(Account(limit, subject) for limit in self._tenant_limits))
            if len(self._tenants) > TENANTS_MAX:
                self._tenants.popitem(last=False)
        else:
            self._tenants.move_to_end(tenant)
        caller = known.callers.get(credential)
        if caller is None:
            caller = known.callers[credential] = self._new(tenant, credential, known.accounts)
            if len(known.callers) > KEYS_MAX:
                known.callers.popitem(last=False)
        else:
            known.callers.move_to_end(credential)
        return caller

    def _new(self, tenant: str, credential: str, shared: Accounts) -> Caller:
        subject = subject_of(tenant, credential)
        accounts = (*(Account(limit, subject) for limit in self._key_limits), *shared)
        return Caller({unit: tuple(a for a in accounts if a.limit.unit == unit) for unit in self._units})


class _Tenant:
    __slots__ = ("accounts", "callers")

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.callers: OrderedDict[str, Caller] = OrderedDict()
