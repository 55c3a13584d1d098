-- Compression tasks that a compressor has taken up: the difference between `queued` and `running`.
create table turnlog.task_runs (
    tenant text collate "C" not null,
    task_id text collate "C" not null,
    started_at timestamptz not null default now(),
    primary key (tenant, task_id)
)
