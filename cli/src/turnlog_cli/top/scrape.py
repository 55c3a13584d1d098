"""Prometheus' text format → samples, and what several replicas answered at one moment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Samples = Mapping[str, Mapping[Labels, float]]
"""By the sample's name (`requests_total`, `x_bucket`), then by its labels."""


@dataclass(frozen=True)
class Source:
    """What one replica answered. `samples` is empty when it did not, and `away` says why, in words."""

    url: str
    at_s: float
    samples: Samples = field(default_factory=dict, repr=False)
    away: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What all replicas answered at about the same moment; `at_s` on a clock that only goes on."""

    at_s: float
    sources: tuple[Source, ...]

    def answering(self) -> tuple[Source, ...]:
        """Those that answered."""
        return tuple(source for source in self.sources if not source.away)


def samples_of(text: str) -> Samples:
    """The samples of one answer of /metrics. Raises `ValueError` when it is not Prometheus' text format."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = float(sample.value)
    return found
