-- A compressor takes a task up; again is harmless.
insert into turnlog.task_runs (tenant, task_id) values ($1, $2) on conflict do nothing
