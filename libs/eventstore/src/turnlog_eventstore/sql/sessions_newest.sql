-- A tenant's sessions before a position, newest first.
select session_id, log, position, created_at_us
from turnlog.sessions
where tenant = $1 and position < $2
order by tenant desc, position desc
limit $3
