"""What passes between the watchlist and a job: an order to look at a session, and what the job left."""

from dataclasses import dataclass

from turnlog_compressor.fair_line import Key
from turnlog_compressor.policy import Reason


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Bounds of memory. Above `waiting_max` sessions the one silent for longest is compressed early; at `due_max`
    orders and requests the follower pauses; a tenant's sessions beyond `tenant_due_max` wait until others of it are
    done; `remembered_max` sessions keep what is known of their cover. Sessions whose id begins with one of `left_alone`
    are compressed only when somebody asks for it. Of each session the newest `traces_max` traces are remembered."""

    waiting_max: int = 20_000
    due_max: int = 1_000
    tenant_due_max: int = 250
    remembered_max: int = 100_000
    left_alone: tuple[str, ...] = ()
    traces_max: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A compression that somebody asked for. `event_id`, `position` and `trace` are those of the request."""

    task_id: str
    up_to_version: int
    event_id: str
    position: int
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Look at this session now. `close_at` is the version to cover whole, None for full windows only. `seen_in` are
    traces of its turns; `trace` is to be remembered by what is appended."""

    tenant: str
    session_id: str
    reason: Reason
    close_at: int | None
    task: Task | None
    cause: str
    position: int
    version: int
    seen_in: tuple[str, ...] = ()
    trace: str | None = None

    @property
    def key(self) -> Key:
        """The session."""
        return (self.tenant, self.session_id)


@dataclass(frozen=True, slots=True)
class Left:
    """What a job left uncovered of a session whose head it saw at `version`."""

    version: int
    turns: int
    tokens: int
