-- Sessions in which an agent was seen ($5: and that user too), newest first.
select s.session_id, s.log, s.position, s.created_at_us
from turnlog.session_agents a
join lateral (
    select session_id, log, position, created_at_us from turnlog.sessions
    where tenant = a.tenant and session_id = a.session_id
) s on true
where a.tenant = $1 and a.position < $2 and a.agent_id = $4
  and ($5::text is null or exists (
      select from turnlog.session_users u
      where u.tenant = a.tenant and u.session_id = a.session_id and u.user_id = $5))
order by a.tenant desc, a.agent_id desc, a.position desc
limit $3
