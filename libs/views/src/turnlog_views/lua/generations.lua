-- Generations of one partition: begin one beside the live one, switch to it, drop one, start over.
-- keys: meta

-- args: generation, window. Answers 'ok', or 'refused' unless the generation is newer than the live one.
local function begin(keys, args)
  local live = redis.call('HGET', keys[1], 'gen')
  if live and tonumber(args[1]) <= tonumber(live) then
    return { 'refused' }
  end
  redis.call('HSET', keys[1], 'c:' .. args[1], '0', 'w:' .. args[1], args[2])
  return { 'ok' }
end

local function drop_fields(meta_key, generation)
  redis.call('HDEL', meta_key, 'c:' .. generation, 'r:' .. generation, 'w:' .. generation)
end

-- args: from generation, to generation, run_id. Answers 'ok', or 'behind' while the new one lacks events that the
-- live one has shown, or 'refused' when either is not what the caller believes.
local function switch(keys, args)
  local live, old, new = unpack(redis.call('HMGET', keys[1], 'gen', 'c:' .. args[1], 'c:' .. args[2]))
  if not new or (live and live ~= args[1]) then
    return { 'refused' }
  end
  if tonumber(new) < tonumber(old or '0') then
    return { 'behind' }
  end
  redis.call('HSET', keys[1], 'gen', args[2], 'r:' .. args[2], args[3])
  drop_fields(keys[1], args[1])
  return { 'ok' }
end

-- args: generation. Forgets one that is not live; its session keys are deleted by the caller.
local function drop(keys, args)
  if redis.call('HGET', keys[1], 'gen') == args[1] then
    return { 'refused' }
  end
  drop_fields(keys[1], args[1])
  return { 'ok' }
end

-- args: from generation, to generation, window. The live projector starts over (its models are ahead of the log):
-- readers go to PostgreSQL until the new generation is stamped.
local function restart(keys, args)
  local live = redis.call('HGET', keys[1], 'gen')
  if live and live ~= args[1] then
    return { 'refused' }
  end
  redis.call('HSET', keys[1], 'gen', args[2], 'c:' .. args[2], '0', 'w:' .. args[2], args[3])
  drop_fields(keys[1], args[1])
  return { 'ok' }
end

redis.register_function('@LIB@_begin', begin)
redis.register_function('@LIB@_switch', switch)
redis.register_function('@LIB@_drop', drop)
redis.register_function('@LIB@_restart', restart)
