-- Turns of a session by version: no version twice, and session reads in order without a sort.
create unique index events_by_version on turnlog.events (tenant, session_id, version) where version is not null
