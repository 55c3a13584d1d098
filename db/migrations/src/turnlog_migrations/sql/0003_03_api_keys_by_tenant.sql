-- The keys of a tenant, for listings.
create index api_keys_by_tenant on turnlog.api_keys (tenant, created_at)
