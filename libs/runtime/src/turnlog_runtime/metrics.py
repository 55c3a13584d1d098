"""The metrics that every service has, and what all metrics share: values kept true while nothing happens, in one
process or in several.

With PROMETHEUS_MULTIPROC_DIR set (before Python starts) several processes write their values into one folder and any of
them serves the sum of all. There a gauge cannot be a function that is called when somebody asks: its value must be
written down. `watch` is for both: a function where that can be, else written each second by `keep_written`.
"""

import asyncio
import os
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    multiprocess,
)

# A second series for each, which the several processes of one folder do not have.
disable_created_metrics()  # type: ignore[no-untyped-call]

SEVERAL = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
"""Whether this process is one of several that share a folder."""
WRITTEN_S = 1.0

REQUESTS = Counter(
    "requests_total", "HTTP requests answered, by route template", ["service", "method", "route", "status"]
)
LATENCY_SECONDS = Histogram(
    "requests_latency_seconds",
    "Time from a whole head to the end of the answer (of a live stream: to its begin)",
    ["service", "method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
IN_PROGRESS = Gauge(
    "requests_in_progress", "HTTP requests being answered now", ["service"], multiprocess_mode="livesum"
)
REFUSED = Counter("http_requests_refused_total", "Requests refused before any app saw them", ["code"])
DEPENDENCY_UP = Gauge(
    "turnlog_dependency_up",
    "1 while a server that the service uses answers within a second",
    ["service", "dependency"],
    multiprocess_mode="livemin",
)
BUILD_INFO = Gauge(
    "turnlog_build_info", "1; the label tells the release", ["service", "version"], multiprocess_mode="livemax"
)

_watched: dict[Gauge, Callable[[], float]] = {}


def watch(gauge: Gauge, value: Callable[[], float]) -> None:
    """From now on the gauge (one without labels, or a child with them) is what `value` says whenever it is asked for;
    where several processes share a folder, what it said within the last second."""
    if SEVERAL:
        _watched[gauge] = value
        gauge.set(value())
    else:
        gauge.set_function(value)


def write_watched() -> None:
    """Write down what is watched, where that is needed."""
    for gauge, value in _watched.items():
        gauge.set(value())


async def keep_written() -> None:
    """Write it down each second, until cancelled."""
    while True:
        write_watched()
        await asyncio.sleep(WRITTEN_S)


def started(service: str) -> None:
    """Say which service this process is, and of which release."""
    BUILD_INFO.labels(service, version("turnlog-runtime")).set(1)


def registry() -> CollectorRegistry:
    """What to show: this process's metrics, or those of all that share the folder."""
    if not SEVERAL:
        return REGISTRY
    write_watched()
    shared = CollectorRegistry()
    multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return shared
