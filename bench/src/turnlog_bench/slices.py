"""Slices of load, ours and the yardstick's in turn, and what the processes used meanwhile."""

from dataclasses import dataclass, field, replace

from turnlog_bench.orders import Kind, Order, Outcome
from turnlog_bench.scale import Scale
from turnlog_bench.stack import Snapshot, Stack
from turnlog_events.ids import new_id


@dataclass
class Series:
    """Pairs of slices of one figure, and the CPU seconds that our slices cost each process."""

    ours: list[Outcome] = field(default_factory=list)
    other: list[Outcome] = field(default_factory=list)
    cpu_s: Snapshot = field(default_factory=dict)

    @property
    def rates(self) -> list[tuple[float, float]]:
        """Answers per second, pair by pair."""
        return [(a.per_s, b.per_s) for a, b in zip(self.ours, self.other, strict=True)]

    @property
    def accepted(self) -> int:
        """Answers of status 2xx in our slices."""
        return sum(outcome.accepted for outcome in self.ours)

    def cpu_us(self) -> Snapshot:
        """CPU microseconds per accepted request, by process; the generator's among them."""
        used = {name: 1e6 * seconds / max(1, self.accepted) for name, seconds in self.cpu_s.items()}
        load = sum(outcome.cpu_us for outcome in self.ours) / len(self.ours)
        return {name: us for name, us in used.items() if us >= 1} | {"load generator": load}


async def alternate(stack: Stack, scale: Scale, name: str, ours: Order, other: Order) -> Series:
    """Pairs of slices, ours first. While the yardstick is measured, the followers get no CPU: work that they still
    have from our slice must not slow it."""
    series = Series()
    for pair in range(scale.pairs):
        before = stack.cpu()
        series.ours.append(await stack.load(replace(ours, prefix=f"{ours.prefix}-{pair}")))
        for process, total in stack.cpu().items():
            series.cpu_s[process] = series.cpu_s.get(process, 0.0) + total - before[process]
        stack.pause_followers()
        try:
            series.other.append(await stack.load(replace(other, prefix=f"{other.prefix}-{pair}")))
        finally:
            stack.resume_followers()
    rates = ", ".join(f"{a:,.0f}/{b:,.0f}" for a, b in series.rates)
    stack.say(f"{name}: {rates}")
    return series


def order(stack: Stack, scale: Scale, kind: Kind, server: str, concurrency: int, place: str) -> Order:
    """An order for one slice at full speed. Turn ids begin with an id of their own, so no two orders share any."""
    return Order(
        kind,
        stack.ports[server],
        concurrency,
        scale.slice_s,
        scale.warm_s,
        prefix=new_id(),
        place=place,
        sessions=scale.sessions,
    )
