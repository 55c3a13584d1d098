-- API keys by their public id: whose they are, what they may do, until when. Of the credential only its SHA-256 is here.
create table turnlog.api_keys (
    id text collate "C" primary key check (id ~ '^[a-z0-9]{12}$'),
    tenant text collate "C" not null,
    hash bytea not null check (length(hash) = 32),
    scopes text[] not null check (cardinality(scopes) > 0),
    name text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
)
