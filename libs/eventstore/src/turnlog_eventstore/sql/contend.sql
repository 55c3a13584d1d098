-- Say that this session contends for these names: shared locks that only show in pg_locks who is there.
select pg_try_advisory_lock_shared(hashtextextended('turnlog.want/' || n.name, 0)) from unnest($1::text[]) as n (name)
