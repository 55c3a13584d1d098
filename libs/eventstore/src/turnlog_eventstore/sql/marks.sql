-- A session's events that are not turns, in order.
select log, position, event_id::text, tenant, session_id, version, type, schema_version, key, recorded_at_us,
       causation_id::text, correlation_id, trace, payload, payload_sha256, key_id, chain_hash
from turnlog.events
where tenant = $1 and session_id = $2 and version is null
order by tenant, session_id, position
