-- A tenant's sessions, newest first.
create index sessions_newest on turnlog.sessions (tenant, position desc)
