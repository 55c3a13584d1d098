-- Sessions of an agent, newest first.
create index session_agents_newest on turnlog.session_agents (tenant, agent_id, position desc)
