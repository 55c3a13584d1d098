"""How long each figure is measured, and over how much: quick for a look, full for the figures that are published."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a run. A slice is `slice_s` of counted load after `warm_s` uncounted; `pairs` of slices (ours, then the
    yardstick) make a figure."""

    name: str
    pairs: int = 5
    slice_s: float = 0.8
    warm_s: float = 0.2
    sessions: int = 200
    read_sessions: int = 500
    probes: int = 200
    rebuild_events: int = 20_000
    rebuild_pairs: int = 3
    fairness_s: float = 5.0
    growth_small_events: int = 5_000
    growth_large_events: int = 20_000
    growth_settle_s: float = 60.0
    growth_claims: bool = False
    total_s: float = 600.0


QUICK = Scale("quick")
FULL = Scale(
    "full",
    pairs=7,
    slice_s=2.0,
    warm_s=0.5,
    read_sessions=2_000,
    probes=2_000,
    rebuild_events=100_000,
    fairness_s=10.0,
    growth_small_events=10_000,
    growth_large_events=1_000_000,
    growth_settle_s=900.0,
    growth_claims=True,
    total_s=5_400.0,
)
TINY = Scale(
    "tiny",
    pairs=1,
    slice_s=0.3,
    warm_s=0.1,
    sessions=20,
    read_sessions=20,
    probes=20,
    rebuild_events=1_000,
    rebuild_pairs=1,
    fairness_s=0.5,
    growth_small_events=500,
    growth_large_events=1_000,
    total_s=120.0,
)
"""For trying the bench itself: its figures mean nothing."""
