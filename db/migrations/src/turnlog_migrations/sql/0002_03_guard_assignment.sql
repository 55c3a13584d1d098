-- A tenant's assignment can change only while it has no event: a tenant lives in exactly one log.
--
-- No log can be created meanwhile, and the append locks of all logs are taken in the order of their names, so that no
-- event of the tenant is on its way. One that does not come soon ends the try: those held stop the writes of their logs.
-- Under READ COMMITTED the look after the locks sees all that their holders committed.
create function turnlog.guard_assignment() returns trigger
language plpgsql volatile
set search_path = pg_catalog, turnlog
set lock_timeout = '3s'
as $$
declare
    moved text := case when tg_op = 'DELETE' then old.tenant else new.tenant end;
    l record;
begin
    lock table turnlog.logs in share mode;
    for l in select x.log from turnlog.logs x order by x.log loop
        perform pg_advisory_xact_lock(hashtextextended('turnlog.log/' || l.log, 0));
    end loop;
    if exists (select from turnlog.sessions s where s.tenant = moved)
        or exists (select from turnlog.events e where e.tenant = moved)
        or (tg_op = 'UPDATE' and old.tenant <> new.tenant)
    then
        raise exception 'tenant % already has events', moved
            using errcode = 'object_in_use', hint = 'A tenant is assigned to a log before its first event.';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end
$$
