"""What is limited: which unit, how many of it in which window, for whom. Made from the settings once."""

from dataclasses import dataclass
from typing import Literal

from turnlog_runtime.charges import COMPRESSIONS, REQUESTS, TURNS
from turnlog_runtime.settings import LimitedSettings

Per = Literal["key", "tenant"]
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
_WINDOWS = {MINUTE_S: "a minute", HOUR_S: "an hour", DAY_S: "a day"}
_WHOSE = {"key": "each credential", "tenant": "each tenant"}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` of `unit` in any window of `window_s` seconds, for each credential (`key`) or tenant.

    `local_amount` is what one process grants of it by itself while the shared counter is away; `lot_max` is the most
    that it takes ahead of need, and the most that it grants on credit.
    """

    name: str
    unit: str
    per: Per
    amount: int
    window_s: int
    local_amount: int
    lot_max: int

    @property
    def words(self) -> str:
        """The limit in words, e.g. `600 requests a minute for each credential`."""
        window = _WINDOWS.get(self.window_s, f"in {self.window_s} s")
        return f"{self.amount} {self.unit} {window} for {_WHOSE[self.per]}"


def limits_of(settings: LimitedSettings) -> tuple[Limit, ...]:
    """The limits that apply, those per credential first. Where no credentials are asked for, only those apply that
    were set: the defaults are for callers that are known."""
    known = (
        ("requests-key", REQUESTS, "key", "limit_key_requests_per_minute", MINUTE_S),
        ("requests-tenant", REQUESTS, "tenant", "limit_tenant_requests_per_minute", MINUTE_S),
        ("turns-key", TURNS, "key", "limit_key_turns_per_minute", MINUTE_S),
        ("turns-tenant", TURNS, "tenant", "limit_tenant_turns_per_minute", MINUTE_S),
        ("turns-day", TURNS, "tenant", "limit_tenant_turns_per_day", DAY_S),
        ("compressions-tenant", COMPRESSIONS, "tenant", "limit_tenant_compressions_per_hour", HOUR_S),
    )
    found: list[Limit] = []
    for name, unit, per, field, window_s in known:
        amount: int = getattr(settings, field)
        applies = settings.auth == "required" or field in settings.model_fields_set
        if amount and applies:
            found.append(_limit(settings, name, unit, "key" if per == "key" else "tenant", amount, window_s))
    return tuple(found)


def _limit(settings: LimitedSettings, name: str, unit: str, per: Per, amount: int, window_s: int) -> Limit:
    """A lot is a share of what a minute's worth of the limit is: a share of a day would be minutes of full load."""
    lot = int(settings.limit_lease_share * amount * min(1.0, MINUTE_S / window_s))
    local = -(-amount // settings.limit_replicas)
    return Limit(name, unit, per, amount, window_s, local_amount=local, lot_max=max(1, lot))
