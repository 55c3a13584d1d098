"""What the read API counts for Prometheus."""

from prometheus_client import Counter, Gauge

READS = Counter("memory_reads_total", "Reads of a session by the store that answered", ["source"])
FROM_REDIS = READS.labels("redis")
FROM_POSTGRES = READS.labels("postgres")
STREAMS = Gauge("memory_streams", "Live event streams open now")
STREAMS_CUT = Counter("memory_streams_cut_total", "Live event streams cut because the client did not keep up")
