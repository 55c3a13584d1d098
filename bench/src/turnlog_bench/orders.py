"""What the load generator is told and what it answers: one JSON line each way."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

Kind = Literal["single", "same", "many", "read", "empty"]


@dataclass(frozen=True, slots=True)
class Order:
    """Load on one server: `concurrency` connections, each with one request on its way (`per_s` 0), or requests sent
    at fixed times, `per_s` of them a second, whatever the server does. `prefix` names the turns, `place` the sessions.
    `single` sends every turn once, `same` sends the same thousand again and again. `key` is the API key that every
    request shows ("": none); `headers` are added to each request that stores turns, as they stand on the wire. With
    `tenants` each request names one of so many (`<place>-0` …) in a header. `more_ports` are further replicas of the
    server: connections are dealt out among all of them."""

    kind: Kind
    port: int
    concurrency: int
    seconds: float
    warm_s: float
    prefix: str
    place: str
    sessions: int = 200
    per_s: float = 0.0
    turns: int = 1
    limit: int = 20
    key: str = ""
    headers: str = ""
    tenants: int = 0
    more_ports: Sequence[int] = ()

    def line(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order. `per_s` are answers within the counted time; `accepted` all answers of status 2xx, also
    before and after it; `failed` counts the others by status; `off_redis` answers that did not come from Redis;
    `cpu_share` is the generator's own, 1.0 being one core; `exhausted`: it ran out of prepared requests."""

    per_s: float
    accepted: int
    off_redis: int
    cpu_share: float
    cpu_us: float
    exhausted: bool
    latencies_ms: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    def line(self) -> bytes:
        """As one line."""
        return json.dumps(asdict(self)).encode() + b"\n"
