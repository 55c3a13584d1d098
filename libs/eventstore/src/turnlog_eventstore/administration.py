"""What only the schema's owner may do: create logs, assign tenants to them, accept the state of a log.

Who calls: the command line. Each call is one transaction of one SQL function (see the migrations).
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
    """A tenant and the log it was assigned to."""

    tenant: str
    log: str
    assigned_at: datetime


class Administration:
    """The owner's connection. Every call raises `StoreUnavailable`, `SchemaMissing` or `NotAllowed` as it must."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, owner_dsn: str) -> "Administration":
        """Connects when first used, as the user of the address itself."""
        return cls(await Connections.open(owner_dsn, StoreSettings(pool_connections=1, deadline_s=15, role="none")))

    async def close(self) -> None:
        """Close the connection."""
        await self._connections.close()

    async def logs(self) -> list[LogRow]:
        """All logs by name."""
        return [LogRow(*row) for row in await self._rows("admin_logs")]

    async def tenants(self) -> list[TenantRow]:
        """All assigned tenants by name."""
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

    async def _rows(self, name: str) -> list[Any]:
        rows: list[Any] = await self._connections.read(lambda c: c.fetch(statement(name)))
        return rows

    async def _call(self, query: str, *arguments: str, log: str, tenant: str = "") -> Any:
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
