-- For the schema's owner: a new, empty log. Running processes notice it within seconds.
create function turnlog.create_log(p_log text) returns void
language sql volatile
set search_path = pg_catalog, turnlog
as $$
    insert into turnlog.logs (log) values (p_log);
$$
