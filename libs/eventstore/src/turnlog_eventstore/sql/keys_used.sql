-- When API keys were last used, to about a minute: what another replica has noted just before is left alone.
update turnlog.api_keys k
set last_used_at = to_timestamp(u.used_at_s)
from unnest($1::text[], $2::float8[]) as u (id, used_at_s)
where k.id = u.id and (k.last_used_at is null or k.last_used_at < to_timestamp(u.used_at_s) - interval '30 seconds')
