"""What asyncpg's errors mean to a caller: was it done, can it be tried again, or is it unknown.

An error that PostgreSQL itself reports for a statement that is its own transaction means that nothing was committed: a
commit that fails to reach the disk ends the server (and so the connection) instead of being reported. A connection that
broke, or a deadline that passed, tells nothing.
"""

import asyncpg

from turnlog_eventstore.errors import DiskFull, OutcomeUnknown, SchemaMissing, StatementFailed, StoreUnavailable

CONNECTION_ERRORS = (
    OSError,
    RuntimeError,  # uvloop's word for writing to a connection that was reset
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
REFUSALS = (
    asyncpg.OperatorInterventionError,  # starting up, shutting down, cancelled, idle for too long
    asyncpg.InsufficientResourcesError,  # no memory, too many connections, disk full
    asyncpg.PostgresSystemError,  # an I/O error
    asyncpg.ReadOnlySQLTransactionError,  # a stand-by, or a server made read-only
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.LockNotAvailableError,
)
MISSING = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,
)
_NO_ROLE = (asyncpg.InvalidParameterValueError, asyncpg.InvalidAuthorizationSpecificationError)
_NOT_OURS_YET = (
    asyncpg.InsufficientPrivilegeError
)  # another database of the server made the role; this one grants nothing
_NO_SPACE = ("could not extend file", "no space left on device")


def not_connected(error: Exception) -> StoreUnavailable | SchemaMissing:
    """Why no connection could be had; nothing was asked of the server. The first migration makes the role."""
    if isinstance(error, _NO_ROLE) and "does not exist" in str(error):
        return SchemaMissing(f"{brief(error)}: run `turnlog migrate`")
    return StoreUnavailable(f"PostgreSQL cannot be reached: {brief(error)}")


def read_failure(error: Exception) -> SchemaMissing | StoreUnavailable | StatementFailed:
    """What a failed read is raised as."""
    if isinstance(error, TimeoutError):
        return StoreUnavailable("PostgreSQL did not answer within the deadline")
    if isinstance(error, (*MISSING, _NOT_OURS_YET)) or (isinstance(error, _NO_ROLE) and "does not exist" in str(error)):
        return SchemaMissing(f"{brief(error)}: run `turnlog migrate`")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, REFUSALS + CONNECTION_ERRORS):
        return StatementFailed(brief(error), error.sqlstate or "")
    return StoreUnavailable(f"PostgreSQL failed: {brief(error)}")


def write_failure(error: Exception) -> SchemaMissing | StoreUnavailable | OutcomeUnknown | StatementFailed:
    """What a failed write is raised as: only what surely was not done is said not to be."""
    if isinstance(error, TimeoutError):
        return OutcomeUnknown("PostgreSQL did not answer within the deadline")
    if isinstance(error, MISSING):
        return SchemaMissing(f"{brief(error)}: run `turnlog migrate`")
    if isinstance(error, asyncpg.DiskFullError) or any(sign in str(error).lower() for sign in _NO_SPACE):
        return DiskFull("PostgreSQL's disk is full")
    if isinstance(error, REFUSALS):
        return StoreUnavailable(f"PostgreSQL refused: {brief(error)}")
    if isinstance(error, (asyncpg.PostgresError, asyncpg.DataError)) and not isinstance(error, CONNECTION_ERRORS):
        return StatementFailed(brief(error), error.sqlstate or "")
    return OutcomeUnknown(f"the connection to PostgreSQL broke: {brief(error)}")


def brief(error: BaseException) -> str:
    """The error without its query or parameters: those may hold content."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
