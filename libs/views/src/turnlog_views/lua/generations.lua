-- Generations: begin one beside the live one, hold live writes, switch, keep, forget, start over.
-- keys: the metas of one partition, or of all. What takes all checks all before it changes any.

local STATE = { 'c:', 'h:', 'r:', 'w:', 'p:', 'm:', 'z:', 'o:' }

local function drop_fields(meta_key, generation)
  for _, prefix in ipairs(STATE) do
    redis.call('HDEL', meta_key, prefix .. generation)
  end
end

-- keys: one meta. args: generation, window, projection version. Answers 'ok', also when it was begun before just so,
-- or 'refused' unless the generation is newer than the live one.
local function begin(keys, args)
  local live, checkpoint, window, projection = unpack(
    redis.call('HMGET', keys[1], 'gen', 'c:' .. args[1], 'w:' .. args[1], 'p:' .. args[1])
  )
  if live and tonumber(args[1]) <= tonumber(live) then
    return { 'refused' }
  end
  if checkpoint then
    return { window == args[2] and (projection or '1') == args[3] and 'ok' or 'refused' }
  end
  redis.call('HSET', keys[1], 'c:' .. args[1], '0', 'w:' .. args[1], args[2], 'p:' .. args[1], args[3])
  return { 'ok' }
end

-- keys: any metas. args: milliseconds. Live writes to them are answered 'held' for so long, or until `release`.
local function hold(keys, args)
  local until_ms = text(now_ms() + tonumber(args[1]))
  for _, key in ipairs(keys) do
    redis.call('HSET', key, 'hold', until_ms)
  end
  return { 'ok' }
end

local function release(keys)
  for _, key in ipairs(keys) do
    redis.call('HDEL', key, 'hold')
  end
  return { 'ok' }
end

-- Why one partition cannot switch, or nil. One that is level with the live one must be at the same event.
local function hindrance(key, from, to)
  local live, old, new, old_chain, new_chain = unpack(
    redis.call('HMGET', key, 'gen', 'c:' .. from, 'c:' .. to, 'h:' .. from, 'h:' .. to)
  )
  if not new or (live and live ~= from) then
    return 'refused'
  end
  local ahead = tonumber(new) - (live and tonumber(old) or 0)
  if ahead < 0 then
    return 'behind'
  end
  if ahead == 0 and live and (old_chain or '') ~= (new_chain or '') then
    return 'refused'
  end
end

-- keys: all metas. args: to generation, stamp, for how many milliseconds the live ones are kept, version that it was
-- chosen over ('' none), then the live one of each. Answers 'ok', 'refused' (something is not as the caller believes)
-- or 'behind' and the 1-based numbers of those where the new one lacks events that the live one has shown.
local function switch(keys, args)
  local to, behind = args[1], { 'behind' }
  for at, key in ipairs(keys) do
    local why = hindrance(key, args[4 + at], to)
    if why == 'refused' then
      return { why, text(at) }
    elseif why then
      behind[#behind + 1] = text(at)
    end
  end
  if #behind > 1 then
    return behind
  end
  local kept_until = text(now_ms() + tonumber(args[3]))
  for at, key in ipairs(keys) do
    local from = args[4 + at]
    if redis.call('HGET', key, 'gen') then
      redis.call('HSET', key, 'x:' .. from, kept_until)
      redis.call('HDEL', key, 'r:' .. from)
    end
    redis.call('HSET', key, 'gen', to, 'r:' .. to, args[2])
    redis.call('HDEL', key, 'x:' .. to, 'o:' .. to, 'hold')
    if args[4] ~= '' then
      redis.call('HSET', key, 'o:' .. to, args[4])
    end
  end
  return { 'ok' }
end

-- keys: all metas. args: generation. Forgets that another version wrote to it: what it wrote was made anew.
local function unmix(keys, args)
  for _, key in ipairs(keys) do
    if redis.call('HGET', key, 'gen') == args[1] then
      return { 'refused' }
    end
  end
  for _, key in ipairs(keys) do
    redis.call('HDEL', key, 'm:' .. args[1])
  end
  return { 'ok' }
end

-- keys: all metas. args: generation, milliseconds. A kept generation is kept for at least so long from now on.
-- Answers 'ok', or 'refused' when it is not kept everywhere any more.
local function claim(keys, args)
  for _, key in ipairs(keys) do
    local live, checkpoint, kept = unpack(redis.call('HMGET', key, 'gen', 'c:' .. args[1], 'x:' .. args[1]))
    if live == args[1] or not checkpoint or not kept then
      return { 'refused' }
    end
  end
  local until_ms = now_ms() + tonumber(args[2])
  for _, key in ipairs(keys) do
    if tonumber(redis.call('HGET', key, 'x:' .. args[1])) < until_ms then
      redis.call('HSET', key, 'x:' .. args[1], text(until_ms))
    end
  end
  return { 'ok' }
end

-- keys: all metas. args: generation, 'expired' or 'any'. Makes a generation unusable before its session keys go; its
-- x:g stays as a trace until `drop`. Answers 'ok', 'kept' (not expired) or 'refused' (it is live).
local function forget(keys, args)
  for _, key in ipairs(keys) do
    local live, kept = unpack(redis.call('HMGET', key, 'gen', 'x:' .. args[1]))
    if live == args[1] then
      return { 'refused' }
    end
    if args[2] == 'expired' and kept and tonumber(kept) > now_ms() then
      return { 'kept' }
    end
  end
  for _, key in ipairs(keys) do
    drop_fields(key, args[1])
    redis.call('HSET', key, 'x:' .. args[1], '0')
  end
  return { 'ok' }
end

-- keys: all metas. args: generation. Removes the last trace of what `forget` made unusable.
local function drop(keys, args)
  for _, key in ipairs(keys) do
    if redis.call('HGET', key, 'gen') ~= args[1] and not redis.call('HGET', key, 'c:' .. args[1]) then
      redis.call('HDEL', key, 'x:' .. args[1])
    end
  end
  return { 'ok' }
end

-- keys: all metas. args: to generation, window, projection version, then the live one of each. The live projector
-- starts over (its models are not of this log): readers go to PostgreSQL until the new generation is stamped.
local function restart(keys, args)
  for at, key in ipairs(keys) do
    local live = redis.call('HGET', key, 'gen')
    if live and live ~= args[3 + at] then
      return { 'refused' }
    end
  end
  for at, key in ipairs(keys) do
    drop_fields(key, args[3 + at])
    drop_fields(key, args[1])
    redis.call('HSET', key, 'x:' .. args[3 + at], '0')
    redis.call('HSET', key, 'gen', args[1], 'c:' .. args[1], '0', 'w:' .. args[1], args[2], 'p:' .. args[1], args[3])
    redis.call('HDEL', key, 'hold', 'x:' .. args[1])
  end
  return { 'ok' }
end

redis.register_function('@LIB@_begin', begin)
redis.register_function('@LIB@_hold', hold)
redis.register_function('@LIB@_release', release)
redis.register_function('@LIB@_switch', switch)
redis.register_function('@LIB@_claim', claim)
redis.register_function('@LIB@_forget', forget)
redis.register_function('@LIB@_drop', drop)
redis.register_function('@LIB@_unmix', unmix)
redis.register_function('@LIB@_restart', restart)
