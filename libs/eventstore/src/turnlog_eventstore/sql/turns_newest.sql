-- The newest turns of a session between two versions (exclusive), newest first; $6 narrows to one agent.
select log, position, event_id::text, tenant, session_id, version, type, schema_version, key, recorded_at_us,
       causation_id::text, correlation_id, trace, payload, payload_sha256, key_id, chain_hash
from turnlog.events
where tenant = $1 and session_id = $2 and version is not null
  and version > $3 and version < $4 and ($6::text is null or agent_id = $6)
order by tenant desc, session_id desc, version desc
limit $5
