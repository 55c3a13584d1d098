-- For the schema's owner: accept the log as it stands as the truth, after PostgreSQL lost a part of it. The log gets a new
-- incarnation, so that the stream and the read models made of what was lost are never met again. No event changes.
--
-- The wall around turnlog.logs is opened for this one update: disabling the trigger locks out every other writer of the
-- table until this transaction ends, and never its readers.
create function turnlog.accept_log(p_log text) returns text
language plpgsql volatile
set search_path = pg_catalog, turnlog
as $$
declare
    fresh text := replace(gen_random_uuid()::text, '-', '');
begin
    alter table turnlog.logs disable trigger forbid_change;
    perform pg_advisory_xact_lock(hashtextextended('turnlog.log/' || p_log, 0));
    update turnlog.logs set incarnation = fresh where log = p_log;
    if not found then
        raise exception 'log % does not exist', p_log using errcode = 'undefined_object';
    end if;
    alter table turnlog.logs enable trigger forbid_change;
    return fresh;
end
$$
