-- All API keys, or those of one tenant, the newest last.
select id, tenant, scopes, name, created_at, expires_at, revoked_at, last_used_at
from turnlog.api_keys
where $1::text is null or tenant = $1
order by tenant, created_at, id
