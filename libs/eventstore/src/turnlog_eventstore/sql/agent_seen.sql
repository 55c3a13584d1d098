-- Whether an agent was ever seen.
select exists (select from turnlog.session_agents where tenant = $1 and agent_id = $2)
