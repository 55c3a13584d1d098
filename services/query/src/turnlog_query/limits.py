"""The limits of the read API: one frozen value, made from the settings and passed down."""

from dataclasses import dataclass

from turnlog_runtime.settings import QuerySettings


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound that a deployment may choose (those of the API itself stand in `params.py`)."""

    summary_tokens: int = 1_100
    """Size of the served summary when the request names none."""
    context_tokens: int = 4_000
    """Size of the served context when the request names none."""
    wait_max_s: float = 10.0
    """The longest a read waits for the read model, whatever `wait_ms` says."""
    read_s: float = 5.0
    """The longest a read may take in all; what it may wait for the read model comes on top."""
    confirm_s: float = 0.25
    """How long PostgreSQL may take to confirm what Redis can answer alone."""
    older_s: float = 2.5
    """How long PostgreSQL may take for turns older than the window, in an answer that can do without them."""
    poll_first_s: float = 0.002
    poll_last_s: float = 0.05
    """Pauses between looks at a read model that is behind `min_version`: doubled from first to last."""
    task_settle_s: float = 1.0
    """How long the answer that a task is done waits for its summary to be readable."""
    page_turns: int = 500
    """Turns per PostgreSQL page."""
    pages_max: int = 20
    """Pages read on while retracted turns eat a limit."""
    head_turns_max: int = 5_000
    """Turns folded for a head that Redis does not have; a longer session's head lacks its counts then."""
    memory_turns_max: int = 5_000
    """Turns after the summary that `get_compressed_memory` answers with."""
    lead_in_turns: int = 50
    """Turns before the summary's end that are searched for the call of a later result."""
    streams_max: int = 1_000
    """Live streams at a time, of which one tenant gets two thirds at most; beyond, 503."""
    stream_waiting_events: int = 1_000
    """Events that may wait for one client before it is cut."""
    stream_heartbeat_s: float = 15.0
    stream_send_s: float = 30.0
    """How long a client may take to accept one send."""
    watch_s: float = 1.0
    """Seconds between looks at PostgreSQL."""
    look_s: float = 1.0
    """Seconds without an answer to a look after which PostgreSQL counts as away."""

    @classmethod
    def of(cls, settings: QuerySettings) -> "Limits":
        """The limits that a deployment's settings choose."""
        return cls(
            summary_tokens=settings.summary_max_tokens,
            context_tokens=settings.context_max_tokens,
            wait_max_s=settings.wait_max_s,
            read_s=settings.read_deadline_s,
            confirm_s=min(settings.views_deadline_s, settings.read_deadline_s / 4),
            older_s=settings.read_deadline_s / 2,
            stream_waiting_events=settings.sse_queue_events,
            stream_heartbeat_s=settings.sse_heartbeat_s,
        )
