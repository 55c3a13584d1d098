-- A session's head version; no row when it has no turn.
select version
from turnlog.events
where tenant = $1 and session_id = $2 and version is not null
order by tenant desc, session_id desc, version desc
limit 1
