-- The view for people shows what its reader may see, not what its owner may (PostgreSQL 15 or newer; on an older one only
-- turnlog_app and the owner may read it anyway).
do $$
begin
    if current_setting('server_version_num')::integer >= 150000 then
        alter view turnlog.events_readable set (security_invoker = true);
    end if;
end
$$
