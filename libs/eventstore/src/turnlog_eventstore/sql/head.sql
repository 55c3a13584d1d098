-- A log's incarnation, its last position and chain hash (nulls while it is empty), and when the server started.
select l.incarnation, e.position, e.chain_hash,
       (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint::text as epoch
from turnlog.logs l
left join lateral (
    select position, chain_hash from turnlog.events where log = l.log order by log desc, position desc limit 1
) e on true
where l.log = $1
