-- One batch of one partition: compare and set the checkpoint, and apply the effects between the two.
--
-- keys: meta, then per session: head, turns, nodes
-- args: generation, mode, previous checkpoint, its chain hash, new checkpoint, its chain hash, the writer's stamp,
--       '1' if the partition is complete now ('' leaves that), window, ttl_s, projection version, then per session:
--       identity, number of effects, the effects (`wire.py`)
-- answers: 'ok', the window, and the 1-based numbers of sessions that must be loaded from PostgreSQL, or
--          'moved' | 'generation', live generation, its checkpoint, its chain hash, its window: nothing was done, or
--          'held', milliseconds: nothing was done, a switch is under way
--
-- meta (hash): gen live generation | hold until when (ms) live writes wait | per generation g: c:g checkpoint,
-- h:g the log's chain hash there (hex), r:g stamp "run_id.epoch" of the servers on which it is complete, w:g window,
-- p:g projection version that made it (missing: 1), m:g checkpoint from which on another version wrote to it,
-- x:g until when (ms) it is kept though not live, o:g version over which an operator chose it, z:g a session in it
-- began with a mark.
-- Mode 'live' writes only to the live generation (and begins it where there is no meta), 'build' only to one that
-- `begin` began.

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- How long live writes of the partition still wait; 0 when they need not. A hold ends by itself.
local function held_ms(meta_key, until_ms)
  local left = tonumber(until_ms) - now_ms()
  if left <= 0 then
    redis.call('HDEL', meta_key, 'hold')
    return 0
  end
  return left
end

local function meta_of(meta_key, generation)
  local found = redis.call(
    'HMGET', meta_key, 'gen', 'c:' .. generation, 'h:' .. generation, 'w:' .. generation, 'hold',
    'p:' .. generation, 'm:' .. generation, 'z:' .. generation, 'r:' .. generation
  )
  return {
    live = found[1], checkpoint = found[2], chain = found[3] or '', window = found[4], hold = found[5],
    projection = found[6], mixed = found[7], marked = found[8], stamp = found[9],
  }
end

-- Why nothing may be written, or nil.
local function refusal(meta_key, meta, generation, mode, previous, chain)
  local checkpoint = meta.checkpoint or ''
  if mode == 'live' then
    if meta.live and meta.live ~= generation then
      local live = meta_of(meta_key, meta.live)
      return { 'generation', meta.live, live.checkpoint or '0', live.chain, live.window or '0' }
    end
    if meta.hold then
      local left = held_ms(meta_key, meta.hold)
      if left > 0 then
        return { 'held', text(left) }
      end
    end
    if not meta.live then
      meta.checkpoint, meta.chain = '0', ''
    end
    checkpoint = meta.checkpoint or '0'
  end
  if checkpoint ~= previous or meta.chain ~= chain then
    return { 'moved', generation, checkpoint, meta.chain, meta.window or '0' }
  end
end

-- The session's head after the effects, or nil when it is not there, not whole or behind: it must be loaded.
local function apply_effects(keys, at, args, first, count, identity, window, marked)
  local head_key, turns_key, nodes_key = keys[at], keys[at + 1], keys[at + 2]
  local head = read_head(head_key)
  if head and not is_whole(head, identity, turns_key, nodes_key) then
    return nil
  end
  local next, views = first, {}
  for _ = 1, count do
    local kind, position = args[next], args[next + 1]
    local repeated = head and tonumber(position) <= tonumber(head.p)
    if kind == 'T' then
      local version = args[next + 2]
      if not repeated then
        if tonumber(version) ~= (head and tonumber(head.v) or 0) + 1 then
          return nil
        end
        if marked and not head then
          return nil -- marks may have come before this first turn, and been evicted
        end
        head = head or new_head(identity, turns_key, nodes_key)
        add_turn(head, position, version, args[next + 3], args[next + 4], args[next + 5], args[next + 6])
        views[#views + 1] = args[next + 7]
      end
      next = next + 8
    else
      if not head then
        return nil
      end
      flush_turns(turns_key, head, views, window)
      views = {}
      local from, to = tonumber(args[next + 2]), tonumber(args[next + 3])
      if not repeated then
        head.p, head.r = position, text(tonumber(head.r) + 1)
        if kind == 'H' then
          hide_turns(turns_key, nodes_key, head, from, to)
        else
          local level, revision = tonumber(args[next + 4]), tonumber(args[next + 5])
          add_summary(nodes_key, head, { from = from, to = to, level = level, revision = revision }, args[next + 6])
        end
      end
      next = next + (kind == 'H' and 4 or 7)
    end
  end
  flush_turns(turns_key, head, views, window)
  return head
end

local function apply(keys, args)
  local meta_key, generation, mode = keys[1], args[1], args[2]
  local meta = meta_of(meta_key, generation)
  local refused = refusal(meta_key, meta, generation, mode, args[3], args[4])
  if refused then
    return refused
  end
  local window = meta.window or args[9]
  local answer, at, next = { 'ok', window }, 2, 12
  while args[next] do
    local identity, count, length = args[next], tonumber(args[next + 1]), tonumber(args[next + 2])
    local head = apply_effects(keys, at, args, next + 3, count, identity, tonumber(window), meta.marked)
    if head then
      write_head(keys[at], head)
      expire(keys, at, args[10])
    else
      -- An old state must not be read as the present one: absent means "ask PostgreSQL".
      redis.call('UNLINK', keys[at], keys[at + 1], keys[at + 2])
      answer[#answer + 1] = text((at - 2) / 3 + 1)
    end
    at, next = at + 3, next + 3 + length
  end
  redis.call('HSET', meta_key, 'c:' .. generation, args[5], 'h:' .. generation, args[6])
  if not meta.window then
    redis.call('HSET', meta_key, 'w:' .. generation, window, 'p:' .. generation, args[11])
  elseif (meta.projection or '1') ~= args[11] and not meta.mixed then
    redis.call('HSET', meta_key, 'm:' .. generation, args[3])
  end
  if mode == 'live' and not meta.live then
    redis.call('HSET', meta_key, 'gen', generation)
  end
  if args[8] ~= '' then
    redis.call('HSET', meta_key, 'r:' .. generation, args[7])
  elseif meta.stamp and meta.stamp ~= args[7] then
    -- A late writer that follows another PostgreSQL than the one the partition was held to: what it wrote is to be
    -- held to the log first.
    redis.call('HDEL', meta_key, 'r:' .. generation)
  end
  return answer
end

redis.register_function('@LIB@_apply', apply)
