-- All assigned tenants.
select tenant, log, assigned_at from turnlog.tenants order by tenant
