-- The truth: every event of every log, in commit order, never changed. Payloads are opaque bytes to SQL.
create table turnlog.events (
    log text collate "C" not null,
    position bigint not null check (position > 0),
    event_id uuid not null,
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    version bigint check (version > 0),
    type text collate "C" not null,
    schema_version smallint not null,
    key text collate "C" not null,
    recorded_at_us bigint not null,
    causation_id uuid,
    correlation_id text collate "C",
    trace text collate "C",
    agent_id text collate "C",
    payload bytea not null,
    payload_sha256 bytea not null check (length(payload_sha256) = 32),
    key_id text collate "C" not null default '',
    chain_hash bytea not null check (length(chain_hash) = 32),
    constraint events_pkey primary key (log, position),
    constraint events_once unique (tenant, session_id, key)
)
