-- One session's row.
select session_id, log, position, created_at_us
from turnlog.sessions
where tenant = $1 and session_id = $2
