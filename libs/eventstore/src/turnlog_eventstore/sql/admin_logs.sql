-- All logs with their incarnation, last position (0: empty) and how many tenants are assigned to each.
select l.log, l.incarnation, coalesce(e.position, 0), (select count(*) from turnlog.tenants t where t.log = l.log)
from turnlog.logs l
left join lateral (
    select position from turnlog.events where log = l.log order by log desc, position desc limit 1
) e on true
order by l.log
