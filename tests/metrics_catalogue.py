"""Every metric of the code base, read from the `metrics` modules of its members."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from prometheus_client.metrics import Gauge, MetricWrapperBase

MEMBERS = (
    "turnlog_runtime",
    "turnlog_access",
    "turnlog_limits",
    "turnlog_eventstore",
    "turnlog_follow",
    "turnlog_ingest",
    "turnlog_query",
    "turnlog_projector",
    "turnlog_compressor",
)


@dataclass(frozen=True, order=True)
class Family:
    """One metric as Prometheus shows it (a counter's name with its `_total`), and how processes of one folder are
    put together (gauges only)."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    together: str = ""

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples."""
        return (
            tuple(self.name + end for end in ("_bucket", "_sum", "_count"))
            if self.kind == "histogram"
            else (self.name,)
        )


def families() -> list[Family]:
    """All of them, by name."""
    found = {id(metric): metric for module in _modules() for metric in _metrics_in(module)}
    return sorted(map(_family, found.values()))


def _modules() -> Iterator[ModuleType]:
    for member in MEMBERS:
        for module in pkgutil.iter_modules(importlib.import_module(member).__path__):
            if module.name == "metrics":
                yield importlib.import_module(f"{member}.metrics")


def _metrics_in(module: ModuleType) -> Iterator[MetricWrapperBase]:
    for value in vars(module).values():
        if isinstance(value, MetricWrapperBase) and not value._labelvalues:
            yield value


def _family(metric: MetricWrapperBase) -> Family:
    kind = str(metric._type)
    name = metric._name + ("_total" if kind == "counter" else "")
    together = metric._multiprocess_mode if isinstance(metric, Gauge) else ""
    return Family(name, kind, tuple(metric._labelnames), metric._documentation, together)
