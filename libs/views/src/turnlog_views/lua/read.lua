-- Reads of one session. None of them writes, so they run by FCALL_RO.
--
-- keys: meta, head, turns, nodes (as many as are read)
-- args: generation, stamp (`run_id` of the server as the reader's connection knows it, PostgreSQL's epoch as it was
--       last heard), identity, and for turns: limit
-- answers: 'ok' …, or why the reader must ask PostgreSQL: 'absent' (no such partition here), 'stale' (the partition
--          was not held to this PostgreSQL on this server), 'miss' (no such session here), or 'generation' and the live one

local function unreadable(meta_key, args)
  local live, stamp = unpack(redis.call('HMGET', meta_key, 'gen', 'r:' .. args[1]))
  if not live then
    return { 'absent' }
  end
  if live ~= args[1] then
    return { 'generation', live }
  end
  return stamp ~= args[2] and { 'stale' } or nil
end

-- 'ok', identity, window, checkpoint, the head's values in the order of FIELDS
local function head_answer(meta_key, generation, head)
  local window, checkpoint = unpack(redis.call('HMGET', meta_key, 'w:' .. generation, 'c:' .. generation))
  local answer = { 'ok', head.i, window, checkpoint }
  for _, field in ipairs(FIELDS) do
    answer[#answer + 1] = head[field]
  end
  return answer
end

local function read_head_only(keys, args)
  local refused = unreadable(keys[1], args)
  if refused then
    return refused
  end
  local head = read_head(keys[2])
  if not head or head.i ~= args[3] then
    return { 'miss' }
  end
  return head_answer(keys[1], args[1], head)
end

-- 'ok', identity, window, version, revision, number of turns in the window, the newest `limit` of them
local function read_turns(keys, args)
  local live, stamp, window = unpack(redis.call('HMGET', keys[1], 'gen', 'r:' .. args[1], 'w:' .. args[1]))
  if live ~= args[1] or stamp ~= args[2] then
    return unreadable(keys[1], args)
  end
  local head = redis.call('HMGET', keys[2], 'i', 'v', 'r', 'c')
  if head[1] ~= args[3] then
    return { 'miss' }
  end
  local turns = redis.call('LRANGE', keys[3], '-' .. args[4], -1)
  if #turns ~= math.min(tonumber(head[4]), tonumber(args[4])) then
    return { 'miss' }
  end
  return { 'ok', head[1], window, head[2], head[3], head[4], turns }
end

local function whole(keys, args)
  local head = read_head(keys[2])
  if not head or not is_whole(head, args[3], keys[3], keys[4]) then
    return { 'miss' }
  end
  local answer = head_answer(keys[1], args[1], head)
  answer[#answer + 1] = redis.call('LRANGE', keys[3], 0, -1)
  answer[#answer + 1] = redis.call('HGETALL', keys[4])
  return answer
end

-- As the head, then a list of turns, then from_version and body of each summary in no order
local function read_session(keys, args)
  return unreadable(keys[1], args) or whole(keys, args)
end

local function register(name, callback)
  redis.register_function({ function_name = '@LIB@_' .. name, callback = callback, flags = { 'no-writes' } })
end

register('head', read_head_only)
register('turns', read_turns)
register('session', read_session)
register('dump', whole)
