-- For each log and position, by its number among those asked (from 1): where the log ends, and how many microseconds ago
-- the event after the position was recorded (null when there is none).
select w.number, coalesce(e.position, 0),
       (extract(epoch from clock_timestamp()) * 1000000)::bigint - n.recorded_at_us as age_us
from unnest($1::text[], $2::bigint[]) with ordinality as w (log, position, number)
left join lateral (
    select position from turnlog.events where log = w.log order by log desc, position desc limit 1
) e on true
left join lateral (
    select recorded_at_us from turnlog.events where log = w.log and position = w.position + 1 limit 1
) n on true
