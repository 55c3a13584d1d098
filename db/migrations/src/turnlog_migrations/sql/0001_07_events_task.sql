-- The events of a compression task, by its id.
create index events_by_task on turnlog.events (tenant, correlation_id, position)
    where version is null and correlation_id is not null
