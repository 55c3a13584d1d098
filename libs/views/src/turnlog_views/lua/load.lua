-- One session written whole, as folded from PostgreSQL up to the partition's checkpoint.
--
-- keys: meta, head, turns, nodes
-- args: generation, checkpoint that the state was folded up to, ttl_s, the head's values in the order of FIELDS,
--       number of turns, the turns, then pairs of from_version and body of each summary
-- answers: 'ok', or 'moved' (the partition's checkpoint is another now, so the state may be too old): nothing was done

local function load_session(keys, args)
  if redis.call('HGET', keys[1], 'c:' .. args[1]) ~= args[2] then
    return { 'moved' }
  end
  redis.call('UNLINK', keys[2], keys[3], keys[4])
  local head = {}
  for at, field in ipairs(FIELDS) do
    head[field] = args[3 + at]
  end
  local first = 3 + #FIELDS + 2
  local past = first + tonumber(args[first - 1])
  for at = first, past - 1, PUSH_MAX do
    redis.call('RPUSH', keys[3], unpack(args, at, math.min(at + PUSH_MAX, past) - 1))
  end
  for at = past, #args, 2 do
    redis.call('HSET', keys[4], args[at], args[at + 1])
  end
  if head.v == '0' then
    redis.call('HSET', keys[1], 'z:' .. args[1], '1')
  end
  write_head(keys[2], head)
  expire(keys, 2, args[3])
  return { 'ok' }
end

redis.register_function('@LIB@_load', load_session)
