-- Append a batch (see turnlog.append in the migrations): one row per event, in order.
select request, status, key, position, version, recorded_at_us, event_id::text, chain_hash
from turnlog.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
