-- For each name: which backend holds its leadership (null: none), and which contend for it (see leader_session.py).
with locks as materialized (
    select pid, mode, (classid::bigint << 32) | objid::bigint as key
    from pg_locks
    where locktype = 'advisory' and granted and objsubid = 1
      and database = (select oid from pg_database where datname = current_database())
)
select n.name,
       (select l.pid from locks l where l.key = hashtextextended(n.name, 0) and l.mode = 'ExclusiveLock' limit 1),
       array(select w.pid from locks w where w.key = hashtextextended('turnlog.want/' || n.name, 0))
from unnest($1::text[]) as n (name)
