-- For the schema's owner: assign a tenant to a log before its first event. Repeating an assignment does nothing.
create function turnlog.assign_tenant(p_tenant text, p_log text) returns void
language plpgsql volatile
set search_path = pg_catalog, turnlog
as $$
begin
    if not exists (select from turnlog.logs l where l.log = p_log) then
        raise exception 'log % does not exist', p_log using errcode = 'undefined_object';
    end if;
    if exists (select from turnlog.tenants t where t.tenant = p_tenant and t.log = p_log) then
        return;
    end if;
    insert into turnlog.tenants (tenant, log) values (p_tenant, p_log)
    on conflict (tenant) do update set log = excluded.log, assigned_at = now();
end
$$
