-- Those of these API keys that are neither revoked nor expired; expiry in seconds since 1970.
select id, tenant, hash, scopes, extract(epoch from expires_at)::float8
from turnlog.api_keys
where id = any ($1::text[]) and revoked_at is null and (expires_at is null or expires_at > now())
