-- Sessions in which a user was seen, newest first.
select s.session_id, s.log, s.position, s.created_at_us
from turnlog.session_users u
join lateral (
    select session_id, log, position, created_at_us from turnlog.sessions
    where tenant = u.tenant and session_id = u.session_id
) s on true
where u.tenant = $1 and u.position < $2 and u.user_id = $4
order by u.tenant desc, u.user_id desc, u.position desc
limit $3
