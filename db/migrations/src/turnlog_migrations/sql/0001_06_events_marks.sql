-- A session's events that are not turns (summaries, retractions, compression tasks): few, so a partial index.
create index events_marks on turnlog.events (tenant, session_id, position) where version is null
