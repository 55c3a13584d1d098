"""Only what surely was not stored is said not to be."""

import asyncpg
import pytest
from asyncpg import exceptions as pg

from turnlog_eventstore import DiskFull, OutcomeUnknown, SchemaMissing, StatementFailed, StoreUnavailable
from turnlog_eventstore.failures import read_failure, write_failure
from turnlog_follow.fence import Fenced
from turnlog_ingest.answers import write_problem

NOT_STORED = [
    pg.AdminShutdownError, pg.CannotConnectNowError, pg.IdleSessionTimeoutError, pg.QueryCanceledError,
    pg.ReadOnlySQLTransactionError, pg.PostgresIOError, pg.OutOfMemoryError, pg.TooManyConnectionsError,
    pg.DeadlockDetectedError, pg.LockNotAvailableError,
]  # fmt: skip
UNKNOWN = [
    TimeoutError, ConnectionResetError, BrokenPipeError, pg.ConnectionDoesNotExistError, asyncpg.InterfaceError,
    asyncpg.InternalClientError,
]  # fmt: skip


@pytest.mark.parametrize("kind", NOT_STORED)
def test_an_error_that_postgres_reports_means_not_stored(kind: type[Exception]) -> None:
    error = write_failure(kind("why"))
    assert type(error) is StoreUnavailable
    problem = write_problem(error)
    assert problem is not None
    assert (problem.status, "retry-after" in problem.headers) == (503, True)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_connection_that_breaks_or_a_deadline_means_unknown(kind: type[Exception]) -> None:
    error = write_failure(kind("why"))
    assert type(error) is OutcomeUnknown
    problem = write_problem(error)
    assert problem is not None
    assert (problem.status, problem.code) == (504, "outcome_unknown")


@pytest.mark.parametrize(
    "error",
    [
        pg.DiskFullError("could not write"),
        pg.InternalServerError('could not extend file "base/5/16400": wrote only 4096 of 8192 bytes at block 7'),
        pg.PostgresIOError("could not write: No space left on device"),
    ],
)
def test_a_full_disk_is_507_and_means_not_stored(error: Exception) -> None:
    found = write_failure(error)
    assert type(found) is DiskFull
    problem = write_problem(found)
    assert problem is not None
    assert (problem.status, problem.code) == (507, "disk_full")


def test_an_error_of_the_statement_itself_is_told_with_its_state_and_without_its_parameters() -> None:
    found = write_failure(pg.UniqueViolationError("duplicate key\nDETAIL: secret"))
    assert isinstance(found, StatementFailed)
    assert "secret" not in str(found)


def test_a_missing_schema_is_named() -> None:
    for failure in (read_failure, write_failure):
        assert isinstance(failure(pg.UndefinedTableError("relation")), SchemaMissing)


def test_a_failed_read_is_never_unknown() -> None:
    for kind in (*UNKNOWN, *NOT_STORED):
        assert type(read_failure(kind("why"))) is StoreUnavailable


def test_a_fenced_log_is_503_with_a_code_of_its_own() -> None:
    problem = write_problem(Fenced("ahead"))
    assert problem is not None
    assert (problem.status, problem.code) == (503, "log_fenced")
