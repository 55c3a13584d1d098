-- A log's incarnation and its last position and chain hash (nulls while it is empty).
select l.incarnation, e.position, e.chain_hash
from turnlog.logs l
left join lateral (
    select position, chain_hash from turnlog.events where log = l.log order by log desc, position desc limit 1
) e on true
where l.log = $1
