-- Revoke an API key; one that is revoked stays so since then. Its tenant; no row when there is no such key.
update turnlog.api_keys set revoked_at = coalesce(revoked_at, now()) where id = $1
returning tenant
