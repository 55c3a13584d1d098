"""The figures of load balancing: through the shipped gateway (real nginx) to one ingest and one query process, and to
two of each, in one run; beside them one process without a gateway.

The second process runs only while two are measured, so that one does its own relaying. What a second one gains depends
on the cores that the load generator, nginx, PostgreSQL, NATS and Valkey leave: the CPU time per request, by process,
says what was the bound.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from turnlog_bench import procfs
from turnlog_bench.figures import CPU_OF, Figure, compared, plain
from turnlog_bench.gateway import Gateway, GatewayFailed, program
from turnlog_bench.orders import Kind, Order, Outcome
from turnlog_bench.process import MeasureFailed, free_port
from turnlog_bench.reads import fill
from turnlog_bench.scale import Scale
from turnlog_bench.slices import order
from turnlog_bench.stack import Snapshot, Stack
from turnlog_bench.writes import counted_turns

CONCURRENCY = 128
PARTS = ("ingest", "query")
DIRECT, ONE, TWO = "one process, no gateway", "one process behind nginx", "two processes behind nginx"
READ = "balanced"
"""Where the sessions begin that are written and read."""


@dataclass
class Taken:
    """Slices of one setting: what came of each, and CPU seconds by process."""

    outcomes: list[Outcome] = field(default_factory=list)
    cpu_s: Snapshot = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Requests that were answered with success, uncounted time included."""
        return sum(outcome.accepted for outcome in self.outcomes)

    def cpu_us(self) -> Snapshot:
        """CPU microseconds per request by process, the generator's among them; what is below one is left out."""
        used = {name: 1e6 * seconds / max(1, self.accepted) for name, seconds in self.cpu_s.items()}
        load = sum(outcome.cpu_us for outcome in self.outcomes) / len(self.outcomes)
        return {name: us for name, us in used.items() if us >= 1} | {"load generator": load}


def possible(say: Callable[[str], None]) -> bool:
    """Whether there is an nginx; says so when there is none."""
    try:
        program()
    except GatewayFailed as error:
        say(f"balanced: left out, {error}")
        return False
    return True


async def balanced(stack: Stack, scale: Scale) -> list[Figure]:
    """Writes, with the followers stopped, then reads. Raises `MeasureFailed` when there is no nginx."""
    async with _gateway(stack, 1) as one, _gateway(stack, 2) as two:
        gateways: Mapping[str, Gateway | None] = {DIRECT: None, ONE: one, TWO: two}
        async with counted_turns(stack) as acknowledged:
            writes = await _settings(stack, scale, "single", "ingest", gateways)
            acknowledged += [taken.accepted for taken in writes.values()]
        await stack.launch("projector", "query")
        await fill(stack, scale, READ)
        reads = await _settings(stack, scale, "read", "query", gateways)
        await stack.retire("projector", "query")
    strays = sum(outcome.off_redis for taken in reads.values() for outcome in taken.outcomes)
    if strays:
        raise MeasureFailed(f"{strays} reads were not answered from Redis")
    return [
        *_figures(f"POST of one turn, {CONCURRENCY} concurrent", "turns/s", writes),
        *_figures(f"GET of 20 turns, {CONCURRENCY} concurrent", "reads/s", reads),
    ]


@asynccontextmanager
async def _gateway(stack: Stack, count: int) -> AsyncIterator[Gateway]:
    """A gateway in front of so many processes of each part, by the ports that they have or will have."""
    names = {part: [part, f"{part}-2"][:count] for part in PARTS}
    ports = {part: [stack.ports.setdefault(name, free_port()) for name in found] for part, found in names.items()}
    try:
        gateway = Gateway(program(), stack.folder / f"gateway-{count}", free_port())
        await gateway.start(ports)
    except GatewayFailed as error:
        raise MeasureFailed(str(error)) from None
    try:
        yield gateway
    finally:
        await gateway.stop()


async def _settings(
    stack: Stack, scale: Scale, kind: Kind, part: str, gateways: Mapping[str, Gateway | None]
) -> dict[str, Taken]:
    """Slices of each setting in turn, as often as the scale has pairs; who is first alternates."""
    taken = {setting: Taken() for setting in gateways}
    sessions = scale.read_sessions if kind == "read" else scale.sessions
    for pair in range(scale.pairs):
        for setting in list(gateways)[:: -1 if pair % 2 else 1]:
            more = [f"{part}-2"] if setting == TWO else []
            await stack.launch(*more)
            gateway = gateways[setting]
            wanted = replace(order(stack, scale, kind, part, CONCURRENCY, READ), sessions=sessions)
            wanted = replace(wanted, seconds=2 * scale.slice_s, warm_s=2 * scale.warm_s)
            await _take(
                stack, wanted if gateway is None else replace(wanted, port=gateway.port), gateway, taken[setting]
            )
            await stack.retire(*more)
    rates = ", ".join("/".join(f"{t.outcomes[n].per_s:,.0f}" for t in taken.values()) for n in range(scale.pairs))
    stack.say(f"balanced, {kind} ({' / '.join(gateways)}): {rates}")
    return taken


async def _take(stack: Stack, wanted: Order, gateway: Gateway | None, into: Taken) -> None:
    """One slice, and the CPU that it cost."""
    before, nginx_before = stack.cpu(), procfs.cpu_s(gateway.pid) if gateway else 0.0
    into.outcomes.append(await stack.load(wanted))
    used = {name: total - before.get(name, 0.0) for name, total in stack.cpu().items()}
    if gateway:
        used["nginx"] = procfs.cpu_s(gateway.pid) - nginx_before
    for name, seconds in used.items():
        into.cpu_s[name] = into.cpu_s.get(name, 0.0) + seconds


def _figures(name: str, unit: str, taken: dict[str, Taken]) -> list[Figure]:
    """Two processes beside one, and one beside none in between; CPU per request of all three."""

    def pairs(setting: str, other: str) -> list[tuple[float, float]]:
        both = zip(taken[setting].outcomes, taken[other].outcomes, strict=True)
        return [(ours.per_s, theirs.per_s) for ours, theirs in both]

    found = [
        compared(f"{name}, {TWO}", unit, ONE, pairs(TWO, ONE), None),
        compared(f"{name}, {ONE}", unit, DIRECT, pairs(ONE, DIRECT), None),
    ]
    for setting, slices in taken.items():
        found += [
            plain(f"{name}, {setting}{CPU_OF}{process}", us, "µs/request") for process, us in slices.cpu_us().items()
        ]
    return found
