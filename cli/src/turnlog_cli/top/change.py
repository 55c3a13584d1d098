"""Two snapshots → what happened between them: rates, quantiles, and gauges as they are now. Pure.

A metric is named as in /metrics; keyword arguments choose samples by their labels: a value, or a set of values. What
several replicas count is added up; of what they show the largest counts, unless said otherwise.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from turnlog_cli.top.scrape import Labels, Snapshot, Source

Wanted = str | frozenset[str]


@dataclass(frozen=True)
class Change:
    """What happened from `before` to `now`; before there are two snapshots, `before` is `now` and all rates are 0."""

    before: Snapshot
    now: Snapshot

    def rate(self, name: str, **wanted: Wanted) -> float:
        """How much a counter grew, a second."""
        return sum(rate for _, rate in self._rates(name, wanted))

    def rates_by(self, label: str, name: str, **wanted: Wanted) -> dict[str, float]:
        """How much a counter grew, a second, by the values of a label that it has."""
        found: dict[str, float] = {}
        for labels, rate in self._rates(name, wanted):
            value = dict(labels).get(label, "")
            found[value] = found.get(value, 0.0) + rate
        return found

    def quantile(self, q: float, name: str, **wanted: Wanted) -> float | None:
        """A histogram's quantile of what it observed in between, in its own unit; None when it observed nothing.

        As Prometheus has it: linear within a bucket, and the highest bound for what lies beyond all bounds.
        """
        buckets: dict[float, float] = {}
        for labels, rate in self._rates(f"{name}_bucket", wanted):
            bound = float(dict(labels)["le"])
            buckets[bound] = buckets.get(bound, 0.0) + rate
        return quantile_of(q, sorted(buckets.items()))

    def mean(self, name: str, **wanted: Wanted) -> float | None:
        """A histogram's mean of what it observed in between; None when it observed nothing."""
        count = self.rate(f"{name}_count", **wanted)
        return self.rate(f"{name}_sum", **wanted) / count if count > 0 else None

    def gauge(self, name: str, how: Callable[[Iterable[float]], float] = max, **wanted: Wanted) -> float | None:
        """A gauge as it is now; None when no replica shows it."""
        values = [value for _, value in _chosen(self.now, name, wanted)]
        return how(values) if values else None

    def values_of(self, label: str, *names: str, **wanted: Wanted) -> list[str]:
        """The values that a label has now on any of these metrics, sorted."""
        found = {dict(labels).get(label) for name in names for labels, _ in _chosen(self.now, name, wanted)}
        return sorted(value for value in found if value)

    def _rates(self, name: str, wanted: dict[str, Wanted]) -> Iterator[tuple[Labels, float]]:
        earlier = {source.url: source for source in self.before.answering()}
        for source in self.now.answering():
            then = earlier.get(source.url)
            passed_s = source.at_s - then.at_s if then is not None else 0.0
            if then is None or passed_s <= 0:
                continue
            known = then.samples.get(name, {})
            for labels, value in _of(source, name, wanted):
                yield labels, grown(known.get(labels, 0.0), value) / passed_s


def grown(before: float, now: float) -> float:
    """How much a counter grew. One that is lower than before began anew, with its process."""
    return now - before if now >= before else now


def quantile_of(q: float, buckets: list[tuple[float, float]]) -> float | None:
    """The quantile of cumulative buckets (upper bound, how many up to it), sorted by bound; None when all are empty."""
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    rank = q * total
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        if not math.isinf(bound):
            lower, below = bound, count
    return lower


def _chosen(snapshot: Snapshot, name: str, wanted: dict[str, Wanted]) -> Iterator[tuple[Labels, float]]:
    for source in snapshot.answering():
        yield from _of(source, name, wanted)


def _of(source: Source, name: str, wanted: dict[str, Wanted]) -> Iterator[tuple[Labels, float]]:
    for labels, value in source.samples.get(name, {}).items():
        if _fits(labels, wanted):
            yield labels, value


def _fits(labels: Labels, wanted: dict[str, Wanted]) -> bool:
    if not wanted:
        return True
    has = dict(labels)
    return all(
        has.get(name) == value if isinstance(value, str) else has.get(name) in value for name, value in wanted.items()
    )
