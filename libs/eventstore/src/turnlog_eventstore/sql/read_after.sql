-- A log's events after a position, in order.
select log, position, event_id::text, tenant, session_id, version, type, schema_version, key, recorded_at_us,
       causation_id::text, correlation_id, trace, payload, payload_sha256, key_id, chain_hash
from turnlog.events
where log = $1 and position > $2
order by log, position
limit $3
