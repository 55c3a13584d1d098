-- One batch of one partition: compare and set the checkpoint, and apply the effects between the two.
--
-- keys: meta, then per session: head, turns, nodes
-- args: generation, mode, previous checkpoint, new checkpoint, run_id ('' leaves it), window, ttl_s, then per session:
--       identity, number of effects, the effects (`wire.py`)
-- answers: 'ok', the window, and the 1-based numbers of sessions that must be loaded from PostgreSQL, or
--          'moved' | 'generation', live generation, its checkpoint: nothing was done
--
-- meta (hash): gen live generation | per generation g: c:g checkpoint, r:g run_id of the server on which it is
-- complete, w:g window. Mode 'live' writes only to the live generation (and begins it where there is no meta),
-- 'build' only to one that `begin` began.

-- Why nothing may be written, or nil; and the generation's window when it has one.
local function refusal(meta_key, generation, mode, previous)
  local live, checkpoint, window = unpack(redis.call('HMGET', meta_key, 'gen', 'c:' .. generation, 'w:' .. generation))
  if mode == 'build' then
    return checkpoint ~= previous and { 'moved', generation, checkpoint or '' } or nil, window
  end
  if live and live ~= generation then
    return { 'generation', live, redis.call('HGET', meta_key, 'c:' .. live) or '0' }
  end
  checkpoint = live and checkpoint or '0'
  return checkpoint ~= previous and { 'moved', generation, checkpoint } or nil, window
end

-- The session's head after the effects, or nil when it is not there, not whole or behind: it must be loaded.
local function apply_effects(keys, at, args, first, count, identity, window)
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
  local meta_key, generation, mode, previous = keys[1], args[1], args[2], args[3]
  local refused, window = refusal(meta_key, generation, mode, previous)
  if refused then
    return refused
  end
  window = window or args[6]
  local answer, at, next = { 'ok', window }, 2, 8
  while args[next] do
    local identity, count, length = args[next], tonumber(args[next + 1]), tonumber(args[next + 2])
    local head = apply_effects(keys, at, args, next + 3, count, identity, tonumber(window))
    if head then
      write_head(keys[at], head)
      expire(keys, at, args[7])
    else
      -- An old state must not be read as the present one: absent means "ask PostgreSQL".
      redis.call('UNLINK', keys[at], keys[at + 1], keys[at + 2])
      answer[#answer + 1] = text((at - 2) / 3 + 1)
    end
    at, next = at + 3, next + 3 + length
  end
  redis.call('HSET', meta_key, 'c:' .. generation, args[4], 'w:' .. generation, window)
  if mode == 'live' then
    redis.call('HSET', meta_key, 'gen', generation)
  end
  if args[5] ~= '' then
    redis.call('HSET', meta_key, 'r:' .. generation, args[5])
  end
  return answer
end

redis.register_function('@LIB@_apply', apply)
