-- The log for people: times as times, payloads as JSON.
create view turnlog.events_readable as
select log, position, to_timestamp(recorded_at_us / 1e6) as recorded_at, tenant, session_id, version, type,
       schema_version, key, correlation_id, convert_from(payload, 'UTF8')::jsonb as payload,
       encode(payload_sha256, 'hex') as payload_sha256, encode(chain_hash, 'hex') as chain_hash
from turnlog.events
