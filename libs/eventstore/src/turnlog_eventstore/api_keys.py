"""API keys as the services may see them: live ones looked up by their ids, and when they were last used noted.

Connections of their own, so that no read of turns stands before a credential. Called by `turnlog_access`; keys are made
and revoked by the schema's owner (`administration.py`).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from turnlog_eventstore.connections import Connections, StoreSettings
from turnlog_eventstore.statements import statement


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A live key: `sha256` is of the whole credential (32 bytes), `expires_at_s` in seconds since 1970 or infinite."""

    key_id: str
    tenant: str
    sha256: bytes = field(repr=False)
    scopes: frozenset[str]
    expires_at_s: float = math.inf


class ApiKeys:
    """The table of keys."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, dsn: str, settings: StoreSettings = StoreSettings(pool_connections=2)) -> "ApiKeys":
        """Connects when first used."""
        return cls(await Connections.open(dsn, settings))

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def live(self, key_ids: Collection[str], deadline_s: float) -> dict[str, ApiKey]:
        """Those of the keys that exist and are neither revoked nor expired, by id. Raises `StoreError`."""
        rows = await self._connections.read(lambda c: c.fetch(statement("keys_live"), list(key_ids)), deadline_s)
        return {
            key_id: ApiKey(
                key_id, tenant, sha256, frozenset(scopes), math.inf if expires_at_s is None else expires_at_s
            )
            for key_id, tenant, sha256, scopes, expires_at_s in rows
        }

    async def note_used(self, used_at_s: Mapping[str, float], deadline_s: float) -> None:
        """Note when keys were used (seconds since 1970). Safe to repeat. Raises `StoreError`."""
        ids = sorted(used_at_s)
        times = [used_at_s[key_id] for key_id in ids]
        await self._connections.write(lambda c: c.execute(statement("keys_used"), ids, times), deadline_s)
