-- The append runs with the rights of the schema's owner, so that whoever calls it needs none on the tables. turnlog_app
-- keeps its right to insert until the next migration: a call of the function as it was, begun before this one, needs it.
alter function turnlog.append security definer set search_path = pg_catalog, turnlog, pg_temp
