-- Sessions of a user, newest first.
create index session_users_newest on turnlog.session_users (tenant, user_id, position desc)
