-- Sessions by creation: one row when a session gets its first turn, never changed.
create table turnlog.sessions (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    log text collate "C" not null,
    position bigint not null,
    created_at_us bigint not null,
    primary key (tenant, session_id)
)
