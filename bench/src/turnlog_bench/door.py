"""The figure of the door: the rate of single turns with credentials and limits on, beside the rate without.

Ingest is started anew for each slice, with this environment and with that one: two of them side by side would share
one relay, and only one of them would pay for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from turnlog_bench.figures import Figure, Target, compared
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import Stack
from turnlog_bench.writes import counted_turns

CONCURRENCY = 32
NOBODY_REACHES = "1000000000"
LIMITS = (
    "KEY_REQUESTS_PER_MINUTE",
    "TENANT_REQUESTS_PER_MINUTE",
    "KEY_TURNS_PER_MINUTE",
    "TENANT_TURNS_PER_MINUTE",
    "TENANT_TURNS_PER_DAY",
)
AT_LEAST = Target("at least", 0.85)


@dataclass(frozen=True, slots=True)
class Door:
    """How ingest is started, and what its callers show."""

    environment: Mapping[str, str]
    headers: str = ""


OPEN = Door({"TURNLOG_AUTH": "off"})


def shut(key: str) -> Door:
    """Credentials asked for and five limits counted, for a caller with this API key."""
    limits = {f"TURNLOG_LIMIT_{name}": NOBODY_REACHES for name in LIMITS}
    return Door({"TURNLOG_AUTH": "required", **limits}, f"authorization: Bearer {key}\r\n")


async def door(stack: Stack, scale: Scale) -> list[Figure]:
    """Pairs of slices, credentials and limits on and off; which comes first alternates."""
    pairs: list[tuple[float, float]] = []
    guarded = shut(await stack.new_key())
    async with counted_turns(stack) as acknowledged:
        for number in range(scale.pairs):
            rates: dict[bool, float] = {}
            for asked in (True, False) if number % 2 else (False, True):
                per_s, accepted = await _slice(stack, scale, guarded if asked else OPEN)
                rates[asked] = per_s
                acknowledged.append(accepted)
            pairs.append((rates[True], rates[False]))
    stack.say("door: " + ", ".join(f"{a:,.0f}/{b:,.0f}" for a, b in pairs))
    await stack.launch("ingest")
    name = f"POST of one turn, {CONCURRENCY} concurrent, credentials and five limits on"
    return [compared(name, "turns/s", "both off, same run", pairs, AT_LEAST)]


async def _slice(stack: Stack, scale: Scale, which: Door) -> tuple[float, int]:
    await stack.retire("ingest")
    await stack.launch("ingest", more=which.environment)
    base = order(stack, scale, "single", "ingest", CONCURRENCY, "door")
    outcome = await stack.load(replace(base, seconds=2 * scale.slice_s, warm_s=2 * scale.warm_s, headers=which.headers))
    await stack.retire("ingest")
    return outcome.per_s, outcome.accepted
