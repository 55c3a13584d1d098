-- A new API key; of the credential only the hash.
insert into turnlog.api_keys (id, tenant, hash, scopes, name, expires_at) values ($1, $2, $3, $4, $5, $6)
