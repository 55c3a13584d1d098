-- The events of a compression task, in order.
select log, position, event_id::text, tenant, session_id, version, type, schema_version, key, recorded_at_us,
       causation_id::text, correlation_id, trace, payload, payload_sha256, key_id, chain_hash
from turnlog.events
where tenant = $1 and correlation_id = $2 and version is null and correlation_id is not null
order by tenant, correlation_id, position
