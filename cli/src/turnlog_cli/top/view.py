"""What `turnlog top` shows, as data. Rates are a second, times in seconds; None is: not known here."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Requests:
    """Requests, of all services together."""

    rate: float
    by_status: dict[str, float]
    """By class of status: 2xx, 3xx, 4xx, 429, 5xx."""
    by_service: dict[str, float]
    in_progress: int


@dataclass(frozen=True)
class Writes:
    """Turns stored, and what it takes. `store_*` are of the call, `commit_*` of PostgreSQL's transaction."""

    turns: float
    duplicates: float
    refused: float
    queued_events: int
    batch_events: float | None
    commit_p99_s: float | None
    wait_p99_s: float | None
    store_p50_s: float | None
    store_p99_s: float | None


@dataclass(frozen=True)
class Reads:
    """Reads of sessions and who answers them."""

    rate: float
    from_redis: float | None
    """The part that Redis answered, 0 to 1."""
    fallbacks: dict[str, float]
    """Why PostgreSQL answered, by reason."""
    p50_s: float | None
    p99_s: float | None
    streams: int


@dataclass(frozen=True)
class Lag:
    """How far something is behind its log."""

    events: int | None = None
    seconds: float | None = None
    rate: float = 0.0
    """Events taken, a second."""


@dataclass(frozen=True)
class LogView:
    """One log. `lags` are by `relay`, `projector`, `compressor`, `streams`; `led` says whether anybody leads a role."""

    log: str
    position: int | None
    events: float
    lags: dict[str, Lag]
    led: dict[str, bool]
    queued_events: int
    fenced: bool
    unreadable_partitions: int
    rebuilding_at: int | None


@dataclass(frozen=True)
class Provider:
    """A model's provider as the compressor sees it."""

    name: str
    breaker: str
    calls: float
    errors: dict[str, float]
    call_p99_s: float | None
    tokens_in: float
    tokens_out: float
    dollars_per_hour: float | None


@dataclass(frozen=True)
class Summaries:
    """Summaries made."""

    rate: float
    pending: int
    outcomes: dict[str, float]
    made_p99_s: float | None
    providers: tuple[Provider, ...]


@dataclass(frozen=True)
class Callers:
    """What is refused, and whether it is counted and checked as it should be."""

    limited: dict[str, float]
    turned_away: dict[str, float]
    alone: bool
    """Limits are counted by each process alone."""
    unchecked: bool
    """API keys are taken as last known."""


@dataclass(frozen=True)
class Replica:
    """A place that serves metrics: which services it tells of, or for how long and why it does not answer."""

    url: str
    services: dict[str, str]
    """Each service's version."""
    away: str = ""
    away_s: float = 0.0


@dataclass(frozen=True)
class Server:
    """PostgreSQL, NATS or Redis, asked directly."""

    name: str
    version: str = ""
    facts: dict[str, int] = field(default_factory=dict)
    """Bytes and counts, each named with its unit: `memory_bytes`, `connections`."""
    away: str = ""


@dataclass(frozen=True)
class Session:
    """A session with a recent event."""

    session_id: str
    tenant: str
    log: str
    version: int
    age_s: float


@dataclass(frozen=True)
class Sessions:
    """How many there are (`about`: an estimate), how many had an event in the last minute (`at_least`: there may be
    more), and the newest."""

    total: int
    about: bool
    active: int
    at_least: bool
    newest: tuple[Session, ...]


@dataclass(frozen=True)
class Stores:
    """What the servers say when asked directly; `unasked` says why they were not."""

    servers: tuple[Server, ...] = ()
    sessions: Sessions | None = None
    unasked: str = ""


@dataclass(frozen=True)
class View:
    """One moment of the whole. `passed_s` is what the rates are taken over; 0: none yet."""

    at: str
    passed_s: float
    requests: Requests
    writes: Writes
    reads: Reads
    logs: tuple[LogView, ...]
    summaries: Summaries
    callers: Callers
    replicas: tuple[Replica, ...]
    stores: Stores
    notes: tuple[str, ...] = ()
    """What is wrong, in words; the worst first."""
