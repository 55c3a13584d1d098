"""Digests of read models, to hold one generation to another. For operators: reads every session of a generation.

Memory: about 300 bytes a session (SCAN may name a session twice, so what was seen must be remembered).
"""

from collections.abc import Mapping
from hashlib import sha256

from turnlog_views.wire import state_digest
from turnlog_views.writer import ViewWriter

_DUMPS_AT_ONCE = 50


async def session_digests(writer: ViewWriter, generation: int) -> dict[str, bytes]:
    """SHA-256 of each session of a generation, by identity. Sessions that are not whole are left out."""
    digests: dict[str, bytes] = {}
    async for page in writer.identities(generation):
        fresh = [identity for identity in dict.fromkeys(page) if identity not in digests]
        for at in range(0, len(fresh), _DUMPS_AT_ONCE):
            some = fresh[at : at + _DUMPS_AT_ONCE]
            dumps = await writer.dumps([generation] * len(some), some)
            digests.update((i, state_digest(i, dump.state)) for i, dump in zip(some, dumps, strict=True) if dump)
    return digests


def total_digest(digests: Mapping[str, bytes]) -> str:
    """One digest over all sessions in order of their identities, as hex."""
    total = sha256()
    for identity in sorted(digests):
        total.update(identity.encode() + b"\n" + digests[identity])
    return total.hexdigest()
