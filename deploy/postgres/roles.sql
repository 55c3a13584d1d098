-- What the services log in as: it may read and append, and is neither the owner of anything nor a superuser. Run once by
-- psql, when PostgreSQL makes its data folder. The password is the content of a file, without the end of its line.
\set password `cat "$TURNLOG_APP_PASSWORD_FILE"`
create role turnlog_app login password :'password';
