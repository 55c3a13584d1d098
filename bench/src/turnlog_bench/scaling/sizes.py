"""How far each curve goes and how long its slices are: quick for a look, full for the figures that are published."""

from dataclasses import dataclass

from turnlog_bench.scale import Scale


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a run. `slices` pairs (ours, then the yardstick) make a point. `turns_each` turns are in each session of
    the curve of sessions; `deep_sessions` of them then get more, up to `deep_turns`."""

    name: str
    slices: int = 3
    slice_s: float = 1.2
    warm_s: float = 0.3
    logs: tuple[int, ...] = (1, 2, 4, 8)
    commit_delay_ms: float = 10.0
    ingest: tuple[int, ...] = (1, 2, 4)
    batches: tuple[int, ...] = (1, 10, 100, 1000)
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    pipeline_concurrencies: tuple[int, ...] = (16, 64, 256)
    query: tuple[int, ...] = (1, 2, 4)
    read_sessions: int = 2_000
    sessions: tuple[int, ...] = (100, 1_000, 10_000, 50_000)
    turns_each: int = 20
    deep_sessions: int = 10_000
    deep_turns: int = 38
    summarised_sessions: int = 100
    summarised_turns: int = 120
    turns_stored: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    tenants: tuple[int, ...] = (1, 100, 10_000)
    rebuilds: tuple[int, ...] = (10_000, 50_000, 200_000)
    settle_s: float = 600.0
    total_s: float = 3_600.0

    @property
    def scale(self) -> Scale:
        """The same slices, as the other figures of the bench have them."""
        return Scale(self.name, pairs=self.slices, slice_s=self.slice_s, warm_s=self.warm_s)


FULL = Sizes("full")
QUICK = Sizes(
    "quick",
    slice_s=0.5,
    warm_s=0.15,
    logs=(1, 2, 4),
    ingest=(1, 2),
    concurrencies=(1, 4, 16, 64, 256),
    pipeline_concurrencies=(16, 64),
    query=(1, 2),
    read_sessions=500,
    sessions=(100, 1_000, 3_000),
    deep_sessions=1_000,
    summarised_sessions=20,
    turns_stored=(5_000, 20_000, 60_000),
    tenants=(1, 100, 2_000),
    rebuilds=(5_000, 20_000),
    settle_s=120.0,
    total_s=900.0,
)
TINY = Sizes(
    "tiny",
    slices=1,
    slice_s=0.3,
    warm_s=0.1,
    logs=(1, 2),
    ingest=(1, 2),
    batches=(1, 10),
    concurrencies=(1, 8),
    pipeline_concurrencies=(8,),
    query=(1,),
    read_sessions=20,
    sessions=(50, 200, 500),
    turns_each=10,
    deep_sessions=200,
    deep_turns=30,
    summarised_sessions=4,
    summarised_turns=120,
    turns_stored=(1_000, 4_000),
    tenants=(1, 20),
    rebuilds=(500, 2_000),
    settle_s=60.0,
    total_s=900.0,
)
"""For trying the curves themselves: their figures mean nothing."""
