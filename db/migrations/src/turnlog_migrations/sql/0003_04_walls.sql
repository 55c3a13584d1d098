-- Row-level security on every table that holds tenants' rows, for its owner too. turnlog_app (which appends, relays,
-- projects and compresses, and which the release before uses for everything) and the owner go on seeing all rows; any
-- other role sees none unless a policy below gives it some. Events come first: an append in flight holds them, and has
-- by then all other locks that it will need.
do $$
declare
    t record;
begin
    for t in
        select c.oid::regclass as name, c.relowner::regrole as owner
        from unnest(array['events', 'sessions', 'session_agents', 'session_users', 'task_runs', 'tenants', 'api_keys'])
            with ordinality as u (relname, no)
        join pg_class c on c.relname = u.relname and c.relnamespace = 'turnlog'::regnamespace
        order by u.no
    loop
        execute format('alter table %s enable row level security', t.name);
        execute format('alter table %s force row level security', t.name);
        execute format(
            'create policy all_tenants on %s to turnlog_app, %s using (true) with check (true)', t.name, t.owner);
    end loop;
end
$$
