"""The error tree of the event store.

StoreError
├── StoreUnavailable   nothing was done; the same call may be tried again
│   └── DiskFull       nothing was done, as PostgreSQL has no room left
├── OutcomeUnknown     an append's commit was under way at the deadline; retry with the same keys
├── StatementFailed    PostgreSQL raised an error of its own: nothing was done, and the same call fails again
├── NotAllowed         the owner asked for what cannot be done: nothing was
├── UnknownLog         no log of this name exists
└── SchemaMissing      the database was never migrated, or lies behind this release
"""


class StoreError(Exception):
    """Root of all errors of `turnlog_eventstore`."""


class StoreUnavailable(StoreError):
    """PostgreSQL refused, vanished or did not answer in time, and nothing was done. Retryable."""


class DiskFull(StoreUnavailable):
    """PostgreSQL's disk is full: nothing was done, and somebody must make room."""


class OutcomeUnknown(StoreError):
    """The deadline passed, or the connection broke, while an append was under way: it may or may not be stored.

    A retry with the same keys is safe: what was stored is answered as a duplicate.
    """


class StatementFailed(StoreError):
    """PostgreSQL raised an error of its own (`sqlstate`): nothing was done, and the same call would fail again."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class NotAllowed(StoreError):
    """An administrative call cannot be done as asked; the message says why and what to do."""


class UnknownLog(StoreError):
    """No log of this name exists."""

    def __init__(self, log: str) -> None:
        super().__init__(f"log {log!r} does not exist")
        self.log = log


class SchemaMissing(StoreError):
    """The database holds no Turnlog schema: run `turnlog migrate`."""
