"""Reads behind the second wall: a transaction whose role and setting let row-level security show one tenant's rows.

What a statement asks for is the first wall. Should one ever ask for too much, PostgreSQL shows it the rows of the
tenant that made the request and no others (policies of migration 0003).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from turnlog_eventstore.connections import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sight:
    """What a transaction may see: the rows that a role's policies show for the value of a setting."""

    role: str
    setting: str
    value: str

    def opening(self) -> str:
        """The statements that begin such a transaction, sent in one message. Only reads are possible in it."""
        value = self.value.replace("\\", "\\\\").replace("'", "''")
        return f"begin read only; set local role {self.role}; set local {self.setting} = E'{value}'"


def of_tenant(tenant: str) -> Sight:
    """All rows of a tenant."""
    return Sight("turnlog_tenant", "turnlog.tenant", tenant)


def of_tenant_in_log(tenant: str, log: str) -> Sight:
    """A tenant's events in a log, by the index that holds them in order; no other row."""
    return Sight("turnlog_auditor", "turnlog.tenant_in_log", f"{tenant}/{log}")


async def seeing(sight: Sight, connection: Connection, query: Callable[[Connection], Awaitable[T]]) -> T:
    """The result of `query` within such a transaction, which is over on every return.

    Run it as one call within a deadline (`Connections.read`): whoever is cancelled or late ends the connection, so
    neither the transaction nor its tenant is met by the next request. Raises what asyncpg raises.
    """
    try:
        await connection.execute(sight.opening())
        found = await query(connection)
    except Exception:
        await connection.execute("rollback")  # whatever it was: nothing of it may stay on a pooled connection
        raise
    await connection.execute("commit")
    return found
