-- The tenants that are assigned to a log (else null) or have API keys, and how many of those are live.
select tenant, t.log, t.assigned_at, coalesce(k.live, 0)
from turnlog.tenants t
full join (
    select tenant, count(*) filter (where revoked_at is null and (expires_at is null or expires_at > now())) as live
    from turnlog.api_keys group by tenant
) k using (tenant)
order by tenant
