"""What a /metrics says, for tests: fetched, parsed, asked by name and labels."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True)
class Scrape:
    """One answer of /metrics."""

    text: str

    @property
    def samples(self) -> list[Sample]:
        """Every sample."""
        return [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]

    def all(self, name: str, **labels: str) -> list[Sample]:
        """The samples of a name that have these labels."""
        return [s for s in self.samples if s.name == name and labels.items() <= s.labels.items()]

    def value(self, name: str, **labels: str) -> float:
        """Their sum; 0 when there is none."""
        return sum(sample.value for sample in self.all(name, **labels))


def scrape(url: str) -> Scrape:
    """What the service at this address says now."""
    answer = httpx.get(f"{url}/metrics", timeout=20)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)
