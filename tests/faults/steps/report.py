"""What a walk over the crash points of one scenario found."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be after a crash at crash point `point` (0: without one)."""

    point: int
    place: str
    what: str

    def __str__(self) -> str:
        return f"crash point {self.point} ({self.place}): {self.what}"


@dataclass(slots=True)
class StepReport:
    """Counts of one walk. `awaits` is how many awaits the shortest undisturbed run had, each with two crash points;
    `crashes` how many processes were killed, `restarts` how many did the work again and were checked. `lines` is how
    many lines undisturbed runs awaited at, suspended and resumed counted apart; `missed` are those at which none was
    killed (none, when every point was walked)."""

    scenario: str
    awaits: int = 0
    crashes: int = 0
    restarts: int = 0
    lines: int = 0
    missed: tuple[str, ...] = ()
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there was something to check and nothing was found."""
        return self.restarts > 0 and not self.violations
