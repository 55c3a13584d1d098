-- The tenants of a log, for listings.
create index tenants_by_log on turnlog.tenants (log, tenant)
