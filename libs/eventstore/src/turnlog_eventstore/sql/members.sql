-- The agents (true) and users (false) seen in a session, in the order they were first seen.
select true, agent_id, seen_at from turnlog.session_agents where tenant = $1 and session_id = $2
union all
select false, user_id, seen_at from turnlog.session_users where tenant = $1 and session_id = $2
order by 3
