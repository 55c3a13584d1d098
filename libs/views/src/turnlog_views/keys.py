"""Names in Redis: which partition a session is in, and the keys that hold it.

All keys of a partition share one hash tag, so that one function call can declare them all, also on a cluster:

    tl:{<log>:<partition>}:<incarnation>:meta                                  what the partition is complete up to
    tl:{<log>:<partition>}:<incarnation>:<generation>:h:<tenant>/<session>     head
    tl:{<log>:<partition>}:<incarnation>:<generation>:t:<tenant>/<session>     turns
    tl:{<log>:<partition>}:<incarnation>:<generation>:n:<tenant>/<session>     summaries

`/` is in no id (nor are `{` and `}`), so two tenants' keys cannot meet. The incarnation (its first eight hex digits)
keeps the read models of a log apart from those of a database that had its name before.
"""

from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

PARTITIONS = 256
INCARNATION_CHARS = 8


def identity_of(tenant: str, session_id: str) -> str:
    """The session's name among all tenants; stored in each head and compared on every read."""
    return f"{tenant}/{session_id}"


def partition_of(identity: str) -> int:
    """0..255; stable for ever, since it decides where stored data is looked for (CRC-32, IEEE 802.3)."""
    return crc32(identity.encode()) % PARTITIONS


@dataclass(frozen=True)
class LogKeys:
    """The keys of one incarnation of one log."""

    log: str
    incarnation: str

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """What the keys of each partition begin with."""
        short = self.incarnation[:INCARNATION_CHARS]
        return tuple(f"tl:{{{self.log}:{number}}}:{short}:" for number in range(PARTITIONS))

    @cached_property
    def metas(self) -> tuple[str, ...]:
        """The meta key of each partition."""
        return tuple(f"{prefix}meta" for prefix in self.prefixes)

    def session(self, partition: int, generation: int, identity: str) -> tuple[str, str, str]:
        """The keys of head, turns and summaries."""
        prefix = f"{self.prefixes[partition]}{generation}:"
        return f"{prefix}h:{identity}", f"{prefix}t:{identity}", f"{prefix}n:{identity}"

    def pattern(self, generation: int | str, kind: str = "*") -> str:
        """A glob for SCAN over the session keys of all partitions of a generation, or of all ("*"). `kind` is h, t
        or n."""
        return f"tl:{{{self.log}:*}}:{self.incarnation[:INCARNATION_CHARS]}:{generation}:{kind}:*"


def generation_of(session_key: bytes) -> int:
    """The generation that a session's key belongs to."""
    return int(session_key.split(b"}:", 1)[1].split(b":", 2)[1])
