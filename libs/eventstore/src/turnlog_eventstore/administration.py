"""What only the schema's owner may do: create logs, assign tenants to them, accept the state of a log, make and revoke
API keys.

Who calls: the command line. Each call is one statement, of one SQL function where there is more to do than that (see
the migrations).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from turnlog_eventstore.connections import Connections, StoreSettings
from turnlog_eventstore.errors import NotAllowed, StatementFailed, UnknownLog
from turnlog_eventstore.statements import statement

_UNIQUE, _CHECK, _IN_USE, _UNDEFINED, _PRIVILEGE = "23505", "23514", "55006", "42704", "42501"


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log, its incarnation, its last position (0: empty) and how many tenants are assigned to it."""

    log: str
    incarnation: str
    position: int
    tenants: int


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant, the log it was assigned to (None: it lives in the default log), and how many live API keys it has."""

    tenant: str
    log: str | None
    assigned_at: datetime | None
    keys: int


@dataclass(frozen=True, slots=True)
class NewKey:
    """An API key to be made: of the credential only its SHA-256 (32 bytes)."""

    key_id: str
    tenant: str
    sha256: bytes
    scopes: tuple[str, ...]
    name: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key as listed."""

    key_id: str
    tenant: str
    scopes: tuple[str, ...]
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> str:
        """`live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


class Administration:
    """The owner's connection. Every call raises `StoreUnavailable`, `SchemaMissing` or `NotAllowed` as it must."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, owner_dsn: str, deadline_s: float = 15) -> "Administration":
        """Connects when first used, as the user of the address itself."""
        limits = StoreSettings(pool_connections=1, deadline_s=deadline_s, role="none")
        return cls(await Connections.open(owner_dsn, limits))

    async def close(self) -> None:
        """Close the connection."""
        await self._connections.close()

    async def logs(self) -> list[LogRow]:
        """All logs by name."""
        return [LogRow(*row) for row in await self._rows("admin_logs")]

    async def tenants(self) -> list[TenantRow]:
        """The tenants that are assigned to a log or have API keys, by name."""
        return [TenantRow(*row) for row in await self._rows("admin_tenants")]

    async def create_log(self, log: str) -> None:
        """Create an empty log. Raises `NotAllowed` for a name that is taken or malformed."""
        await self._call("select turnlog.create_log($1)", log, log=log)

    async def assign(self, tenant: str, log: str) -> None:
        """Assign a tenant to a log; safe to repeat. Raises `NotAllowed` once the tenant has events, or `UnknownLog`."""
        await self._call("select turnlog.assign_tenant($1, $2)", tenant, log, log=log, tenant=tenant)

    async def accept(self, log: str) -> str:
        """Give the log a new incarnation, which is returned. Raises `UnknownLog`."""
        return str(await self._call("select turnlog.accept_log($1)", log, log=log))

    async def create_key(self, key: NewKey) -> None:
        """Make an API key. Raises `NotAllowed`."""
        values = (key.key_id, key.tenant, key.sha256, list(key.scopes), key.name, key.expires_at)
        await self._call(statement("admin_create_key"), *values)

    async def keys(self, tenant: str | None = None) -> list[KeyRow]:
        """All API keys, or those of a tenant, the newest last."""
        rows = await self._rows("admin_keys", tenant)
        return [KeyRow(key_id, owner, tuple(scopes), *rest) for key_id, owner, scopes, *rest in rows]

    async def revoke_key(self, key_id: str) -> str | None:
        """Revoke an API key, safe to repeat; its tenant, or None when there is no such key. Raises `NotAllowed`."""
        found: str | None = await self._call(statement("admin_revoke_key"), key_id)
        return found

    async def _rows(self, name: str, *arguments: Any) -> list[Any]:
        rows: list[Any] = await self._connections.read(lambda c: c.fetch(statement(name), *arguments))
        return rows

    async def _call(self, query: str, *arguments: Any, log: str = "", tenant: str = "") -> Any:
        try:
            return await self._connections.write(lambda c: c.fetchval(query, *arguments))
        except StatementFailed as error:
            if error.sqlstate == _UNDEFINED:
                raise UnknownLog(log) from None
            raise NotAllowed(_reason(error, log, tenant)) from error


def _reason(error: StatementFailed, log: str, tenant: str) -> str:
    reasons = {
        _UNIQUE: f"log {log!r} exists already",
        _CHECK: f"{log!r} is no name for a log: 1 to 32 of a-z 0-9 -, beginning with a letter or digit",
        _IN_USE: f"tenant {tenant!r} already has events, and a tenant lives in one log for ever: "
        "assign a tenant before its first write",
        _PRIVILEGE: "this needs the schema's owner: set TURNLOG_DATABASE_OWNER_URL",
    }
    return reasons.get(error.sqlstate, str(error))
