"""What the read API counts for Prometheus."""

from prometheus_client import Counter, Gauge

READS = Counter("memory_reads_total", "Reads of a session by the store that answered", ["source"])
FROM_REDIS = READS.labels("redis")
_FROM_POSTGRES = READS.labels("postgres")
FALLBACKS = Counter("memory_read_fallbacks_total", "Reads that PostgreSQL answered, by why Redis did not", ["reason"])
MISS, STALE, AWAY, BEYOND_WINDOW, FRESH = REASONS = ("miss", "stale", "away", "beyond_window", "fresh")
"""The session is not in Redis; what is there is older than asked for or may not be read now; Redis does not answer;
older turns than Redis holds, or a filter that it has no index for; the client asked for PostgreSQL."""
_BY_REASON = {reason: FALLBACKS.labels(reason) for reason in REASONS}
STREAMS = Gauge("memory_streams", "Live event streams open now", multiprocess_mode="livesum")
STREAMS_CUT = Counter("memory_streams_cut_total", "Live event streams cut because the client did not keep up")


def count_from_postgres(reason: str) -> None:
    """PostgreSQL answers a read, for one of `REASONS`."""
    _FROM_POSTGRES.inc()
    _BY_REASON[reason].inc()
