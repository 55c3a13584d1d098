-- A consumer has come to a position; never backwards.
insert into turnlog.checkpoints (log, consumer, position) values ($1, $2, $3)
on conflict (log, consumer) do update set position = excluded.position, updated_at = now()
where checkpoints.position < excluded.position
