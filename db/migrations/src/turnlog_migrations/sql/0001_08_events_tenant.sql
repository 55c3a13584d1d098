-- One tenant's events of a log in order, for auditors. An expression ('/' is in no id) instead of two columns keeps
-- this index out of every other query's plan: while the table is empty the planner sees (tenant, …) indexes as equal,
-- and the append's lookup by key, planned then and cached, scanned all of a tenant.
create index events_by_tenant on turnlog.events ((tenant || '/' || log), position)
