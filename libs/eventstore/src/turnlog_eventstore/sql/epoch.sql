-- When the server started, as `head` tells it.
select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text
