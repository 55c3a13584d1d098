-- Append a batch of requests to one log: lock, look up, decide, place, insert; one result row per event.
--
-- A request is stored whole or not at all, and a rejected one leaves no hole and does not fail its neighbours.
-- Event arrays are parallel and ordered by request. `status` is stored, duplicate (the first answer again), conflict
-- (the key holds another body), version_mismatch (`version` is then the session's version now) or wrong_log (the tenant
-- is assigned to another log, which `key` then names).
--
-- New in 0002: wrong_log. A release before this one never meets it: while one runs, no tenant is assigned (assign tenants
-- once every process runs this release); were it to, the missing version fails its request, and nothing is acknowledged.
--
-- The lock comes first, in a statement of its own: under READ COMMITTED every later statement of a volatile function
-- takes a new snapshot, which then sees all that the lock's former holder committed. The caller guarantees that no
-- (tenant, session, key) stands in a batch twice; were it to, the unique constraint fails the call and nothing is stored.
-- Plans are pinned to index lookups: a plan cached while the table was small would turn into a sequential scan.
create or replace function turnlog.append(
    p_log text,
    s_tenant text[],          -- the distinct sessions of the batch
    s_session_id text[],
    e_request integer[],      -- per event: number of its request, ascending
    e_session integer[],      -- per event: which of the sessions above (1-based)
    e_first boolean[],        -- per event: whether it is the first of its session in the batch
    e_expected bigint[],      -- per event: its request's expected version, or null
    e_event_id uuid[],
    e_type text[],
    e_schema_version smallint[],
    e_takes_version boolean[],
    e_key text[],
    e_causation_id uuid[],
    e_correlation_id text[],
    e_trace text[],
    e_agent_id text[],
    e_user_id text[],
    e_new_member boolean[],   -- per event: whether its agent or user may be new to the session
    e_payload bytea[],
    e_payload_sha256 bytea[]
) returns table (
    request integer, status text, key text, "position" bigint, version bigint, recorded_at_us bigint, event_id uuid,
    chain_hash bytea
)
language plpgsql volatile
set search_path = pg_catalog, turnlog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
    last_position bigint;
    last_hash bytea;
    now_us bigint;
    heads bigint[] := array_fill(0::bigint, array[cardinality(s_tenant)]);
    new_members boolean := true = any (e_new_member);
    elsewhere text[];         -- per session: the other log that its tenant is assigned to; null when no tenant is
    e record;
    current_request integer := 0;
    verdict text;
    n integer := 0;
    stored integer := 0;
    o_position bigint[] := array_fill(null::bigint, array[cardinality(e_request)]);
    o_version bigint[] := array_fill(null::bigint, array[cardinality(e_request)]);
    o_hash bytea[] := array_fill(null::bytea, array[cardinality(e_request)]);
begin
    perform pg_advisory_xact_lock(hashtextextended('turnlog.log/' || p_log, 0));

    select coalesce(x.position, 0), coalesce(x.chain_hash, decode(repeat('00', 32), 'hex'))
    into last_position, last_hash
    from turnlog.logs l
    left join lateral (
        select y.position, y.chain_hash from turnlog.events y
        where y.log = l.log order by y.log desc, y.position desc limit 1
    ) x on true
    where l.log = p_log;
    if not found then
        raise exception 'log % does not exist', p_log using errcode = 'undefined_object';
    end if;
    if exists (select from turnlog.tenants t where t.tenant = any (s_tenant) and t.log <> p_log) then
        select array_agg(x.log order by u.no) into elsewhere
        from unnest(s_tenant) with ordinality as u (tenant, no)
        left join lateral (
            select t.log from turnlog.tenants t where t.tenant = u.tenant and t.log <> p_log limit 1
        ) x on true;
    end if;
    now_us := (extract(epoch from clock_timestamp()) * 1000000)::bigint;

    for e in
        select u.*, x.position as x_position, x.version as x_version, x.recorded_at_us as x_recorded_at_us,
               x.event_id as x_event_id, x.chain_hash as x_chain_hash,
               case when u.first then coalesce((
                   select h.version from turnlog.events h
                   where h.tenant = s_tenant[u.session] and h.session_id = s_session_id[u.session]
                     and h.version is not null
                   order by h.tenant desc, h.session_id desc, h.version desc limit 1), 0) end as head,
               count(x.position) over w as known, count(*) over w as size,
               bool_or(x.payload_sha256 <> u.payload_sha256 or x.type <> u.type) over w as conflicts
        from unnest(e_request, e_session, e_first, e_expected, e_event_id, e_type, e_schema_version, e_takes_version, e_key,
                    e_causation_id, e_correlation_id, e_trace, e_payload_sha256) with ordinality
            as u (request, session, first, expected, event_id, type, schema_version, takes_version, key,
                  causation_id, correlation_id, trace, payload_sha256, no)
        left join lateral (
            select y.position, y.version, y.recorded_at_us, y.event_id, y.payload_sha256, y.type, y.chain_hash
            from turnlog.events y
            where y.tenant = s_tenant[u.session] and y.session_id = s_session_id[u.session] and y.key = u.key
            limit 1
        ) x on true
        window w as (partition by u.request)
        order by u.request, u.no
    loop
        n := n + 1;
        if e.first then
            heads[e.session] := e.head;
        end if;
        if e.request <> current_request then
            current_request := e.request;
            verdict := case
                when elsewhere[e.session] is not null then 'wrong_log'
                when e.conflicts then 'conflict'
                when e.known < e.size and e.expected <> heads[e.session] then 'version_mismatch'
            end;
        end if;

        request := e.request;
        key := e.key;
        if verdict is not null then
            status := verdict;
            position := e.x_position;
            version := heads[e.session];
            recorded_at_us := null;
            event_id := null;
            chain_hash := null;
            if verdict = 'wrong_log' then
                key := elsewhere[e.session];
                version := null;
            end if;
        elsif e.x_position is not null then
            status := 'duplicate';
            position := e.x_position;
            version := e.x_version;
            recorded_at_us := e.x_recorded_at_us;
            event_id := e.x_event_id;
            chain_hash := e.x_chain_hash;
        else
            stored := stored + 1;
            last_position := last_position + 1;
            version := null;
            if e.takes_version then
                heads[e.session] := heads[e.session] + 1;
                version := heads[e.session];
            end if;
            last_hash := sha256(
                last_hash || int8send(last_position)
                || convert_to(
                    p_log || E'\n' || e.event_id || E'\n' || s_tenant[e.session] || E'\n' || s_session_id[e.session]
                    || E'\n' || coalesce(version::text, '') || E'\n' || e.type || E'\n' || e.schema_version
                    || E'\n' || e.key || E'\n' || now_us || E'\n' || coalesce(e.causation_id::text, '')
                    || E'\n' || coalesce(e.correlation_id, '') || E'\n' || coalesce(e.trace, '') || E'\n', 'UTF8')
                || e.payload_sha256);
            o_position[n] := last_position;
            o_version[n] := version;
            o_hash[n] := last_hash;
            status := 'stored';
            position := last_position;
            recorded_at_us := now_us;
            event_id := e.event_id;
            chain_hash := last_hash;
            if version = 1 then
                new_members := true;
                insert into turnlog.sessions (tenant, session_id, log, position, created_at_us)
                values (s_tenant[e.session], s_session_id[e.session], p_log, last_position, now_us);
            end if;
        end if;
        return next;
    end loop;

    if stored = 0 then
        return;
    end if;

    insert into turnlog.events (
        log, position, event_id, tenant, session_id, version, type, schema_version, key, recorded_at_us,
        causation_id, correlation_id, trace, agent_id, payload, payload_sha256, chain_hash)
    select p_log, u.position, u.event_id, s_tenant[u.session], s_session_id[u.session], u.version, u.type,
           u.schema_version, u.key, now_us, u.causation_id, u.correlation_id, u.trace, u.agent_id, u.payload,
           u.payload_sha256, u.hash
    from unnest(o_position, o_version, o_hash, e_session, e_event_id, e_type, e_schema_version, e_key,
                e_causation_id, e_correlation_id, e_trace, e_agent_id, e_payload, e_payload_sha256)
        as u (position, version, hash, session, event_id, type, schema_version, key,
              causation_id, correlation_id, trace, agent_id, payload, payload_sha256)
    where u.position is not null;

    if not new_members then
        return;
    end if;

    insert into turnlog.session_agents (tenant, session_id, agent_id, position, seen_at)
    select distinct on (s.tenant, s.session_id, u.agent_id) s.tenant, s.session_id, u.agent_id, s.position, u.position
    from unnest(o_position, e_session, e_agent_id) as u (position, session, agent_id)
    cross join lateral (
        select z.tenant, z.session_id, z.position from turnlog.sessions z
        where z.tenant = s_tenant[u.session] and z.session_id = s_session_id[u.session] limit 1
    ) s
    where u.position is not null and u.agent_id is not null
      and not exists (
          select from turnlog.session_agents k
          where k.tenant = s_tenant[u.session] and k.session_id = s_session_id[u.session] and k.agent_id = u.agent_id)
    order by s.tenant, s.session_id, u.agent_id, u.position;

    insert into turnlog.session_users (tenant, session_id, user_id, position, seen_at)
    select distinct on (s.tenant, s.session_id, u.user_id) s.tenant, s.session_id, u.user_id, s.position, u.position
    from unnest(o_position, e_session, e_user_id) as u (position, session, user_id)
    cross join lateral (
        select z.tenant, z.session_id, z.position from turnlog.sessions z
        where z.tenant = s_tenant[u.session] and z.session_id = s_session_id[u.session] limit 1
    ) s
    where u.position is not null and u.user_id is not null
      and not exists (
          select from turnlog.session_users k
          where k.tenant = s_tenant[u.session] and k.session_id = s_session_id[u.session] and k.user_id = u.user_id)
    order by s.tenant, s.session_id, u.user_id, u.position;
end
$$
