-- Which users were seen in a session; like session_agents.
create table turnlog.session_users (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    user_id text collate "C" not null,
    position bigint not null,
    seen_at bigint not null,
    primary key (tenant, session_id, user_id)
)
