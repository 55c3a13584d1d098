-- Whether a compressor has taken a task up.
select exists (select from turnlog.task_runs where tenant = $1 and task_id = $2)
