-- The roles that reads of a tenant run as. Nobody logs in as one: a session of turnlog_app takes it on for a transaction,
-- and sees what the policies of 0003_05 and 0003_06 leave of the tables. The memberships inherit nothing where PostgreSQL
-- can say so (16): turnlog_app keeps its own rights and gains none.
do $$
declare
    able boolean := current_setting('server_version_num')::integer >= 160000;
    r text;
begin
    foreach r in array array['turnlog_tenant', 'turnlog_auditor'] loop
        if not exists (select from pg_roles where rolname = r) then
            execute format('create role %I nologin', r);
        end if;
        if not pg_has_role('turnlog_app', r, 'member') then
            execute format('grant %I to turnlog_app%s', r, case when able then ' with inherit false' end);
        end if;
        if not pg_has_role(current_user, r, case when able then 'set' else 'member' end) then
            execute format('grant %I to %I%s', r, current_user, case when able then ' with inherit false, set true' end);
        end if;
    end loop;
end
$$
