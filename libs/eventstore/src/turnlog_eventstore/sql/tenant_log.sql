-- The log a tenant is assigned to (null: none), and whether that is settled because the tenant has a session.
select (select log from turnlog.tenants where tenant = $1),
       exists (select from turnlog.sessions where tenant = $1)
