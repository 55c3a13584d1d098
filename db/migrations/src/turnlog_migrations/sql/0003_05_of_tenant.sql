-- What turnlog_tenant sees: the rows of the tenant that its transaction has set, and none while none is set (null, or ''
-- where a transaction before had set one: no id is empty).
do $$
declare
    t text;
begin
    foreach t in array array['events', 'sessions', 'session_agents', 'session_users', 'task_runs', 'tenants'] loop
        execute format(
            'create policy of_tenant on turnlog.%I for select to turnlog_tenant '
            'using (tenant = current_setting(''turnlog.tenant'', true))', t);
        execute format('grant select on turnlog.%I to turnlog_tenant', t);
    end loop;
end
$$
