"""The append-only event log in PostgreSQL: append, read, leadership."""

from turnlog_eventstore.administration import Administration
from turnlog_eventstore.api_keys import ApiKey, ApiKeys
from turnlog_eventstore.append import Appended, AppendRequest, Placed, Rejected, Stored, newly_stored
from turnlog_eventstore.connections import StoreSettings
from turnlog_eventstore.each_log import each_log, kept_running
from turnlog_eventstore.errors import (
    DiskFull,
    NotAllowed,
    OutcomeUnknown,
    SchemaMissing,
    StatementFailed,
    StoreError,
    StoreUnavailable,
    UnknownLog,
)
from turnlog_eventstore.leadership import Leadership, LeadershipSettings
from turnlog_eventstore.observer import Observer
from turnlog_eventstore.store import LogHead, Store
from turnlog_eventstore.tenant_logs import TenantLogs
from turnlog_eventstore.tenant_reads import Members, SessionRow, TenantReads

__all__ = [
    "Administration",
    "ApiKey",
    "ApiKeys",
    "AppendRequest",
    "Appended",
    "DiskFull",
    "Leadership",
    "LeadershipSettings",
    "LogHead",
    "Members",
    "NotAllowed",
    "Observer",
    "OutcomeUnknown",
    "Placed",
    "Rejected",
    "SchemaMissing",
    "SessionRow",
    "StatementFailed",
    "Store",
    "StoreError",
    "StoreSettings",
    "StoreUnavailable",
    "Stored",
    "TenantLogs",
    "TenantReads",
    "UnknownLog",
    "each_log",
    "kept_running",
    "newly_stored",
]
