-- Which log a tenant lives in; one that is not here lives in the deployment's default log (TURNLOG_LOG).
create table turnlog.tenants (
    tenant text collate "C" primary key,
    log text collate "C" not null references turnlog.logs,
    assigned_at timestamptz not null default now()
)
