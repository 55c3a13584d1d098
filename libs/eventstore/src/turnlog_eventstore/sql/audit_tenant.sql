-- One tenant's events of a log after a position, in order.
select log, position, event_id::text, tenant, session_id, version, type, schema_version, key, recorded_at_us,
       causation_id::text, correlation_id, trace, payload, payload_sha256, key_id, chain_hash
from turnlog.events
where (tenant || '/' || log) = ($1::text || '/' || $2::text) and position > $3
order by (tenant || '/' || log), position
limit $4
