-- Which agents were seen in a session: one row a pair, never changed. `position` is that of the session's first
-- event, so that a listing by agent comes in the same order as one of all sessions; `seen_at` that of the agent's.
create table turnlog.session_agents (
    tenant text collate "C" not null,
    session_id text collate "C" not null,
    agent_id text collate "C" not null,
    position bigint not null,
    seen_at bigint not null,
    primary key (tenant, session_id, agent_id)
)
