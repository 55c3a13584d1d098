-- This session contends for these names no longer.
select pg_advisory_unlock_shared(hashtextextended('turnlog.want/' || n.name, 0)) from unnest($1::text[]) as n (name)
