-- What the services log in as: it may read and append, and is neither the owner of anything nor a superuser. Run once, when
-- PostgreSQL makes its data folder; choose another password here and in compose.yml.
create role turnlog_app login password 'turnlog_app';
