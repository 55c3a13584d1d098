-- A session's read model in one partition: what the keys hold, and how one effect changes them.
--
-- Enters: effects as Python's `wire.py` writes them. Leaves: the three keys of a session, exactly as
-- `turnlog_events.fold` folds the same effects (tests/contract/test_views_contract.py holds the two to each other).
--
-- head (hash)   i identity "tenant/session" | v version | r revision | p position of the last event with an effect
--               k tokens | f, l first and last recorded_at in microseconds | a, u agents and users, by comma
--               h retracted ranges "from-to" by comma | n summaries "from-to-level-revision" by comma, in order
--               c number of turns in the list
-- turns (list)  the JSON of each visible turn of the window, oldest first, as served
-- nodes (hash)  from_version -> JSON of the summary that begins there
--
-- Numbers stay text wherever they are only carried: Lua's doubles are exact below 2^53 but print as 1.8e+15.

local MEMBERS_MAX = @MEMBERS_MAX@
local PUSH_MAX = 500 -- arguments per RPUSH; Lua's unpack fails at about 8,000

local FIELDS = { 'i', 'v', 'r', 'p', 'k', 'f', 'l', 'a', 'u', 'h', 'n', 'c' }

local function text(number)
  return string.format('%.0f', number)
end

-- The head as a table by field, or nil when there is none.
local function read_head(head_key)
  local values = redis.call('HMGET', head_key, unpack(FIELDS))
  if not values[1] then
    return nil
  end
  local head = {}
  for at, field in ipairs(FIELDS) do
    head[field] = values[at] or ''
  end
  return head
end

-- The head of a session that begins. A server short of memory may have evicted an old head and left the rest.
local function new_head(identity, turns_key, nodes_key)
  redis.call('UNLINK', turns_key, nodes_key)
  return { i = identity, v = '0', r = '0', p = '0', k = '0', f = '0', l = '0', a = '', u = '', h = '', n = '', c = '0' }
end

local function write_head(head_key, head)
  local flat = {}
  for at, field in ipairs(FIELDS) do
    flat[2 * at - 1] = field
    flat[2 * at] = head[field]
  end
  redis.call('HSET', head_key, unpack(flat))
end

-- How many items a comma-separated text holds.
local function count_items(items)
  if items == '' then
    return 0
  end
  local _, commas = string.gsub(items, ',', '')
  return commas + 1
end

-- Whether the session is whole: a server short of memory may have evicted one key of three.
local function is_whole(head, identity, turns_key, nodes_key)
  return head.i == identity
    and redis.call('LLEN', turns_key) == tonumber(head.c)
    and redis.call('HLEN', nodes_key) == count_items(head.n)
end

-- Ranges "from-to[-level-revision]" by comma as a list of tables of numbers.
local function parse_ranges(items)
  local ranges = {}
  for item in string.gmatch(items, '[^,]+') do
    local numbers = {}
    for digits in string.gmatch(item, '%d+') do
      numbers[#numbers + 1] = tonumber(digits)
    end
    ranges[#ranges + 1] = { from = numbers[1], to = numbers[2], level = numbers[3], revision = numbers[4] }
  end
  return ranges
end

local function overlaps(range, from, to)
  return range.from <= to and from <= range.to
end

local function write_nodes(nodes)
  local items = {}
  for at, node in ipairs(nodes) do
    items[at] = text(node.from) .. '-' .. text(node.to) .. '-' .. text(node.level) .. '-' .. text(node.revision)
  end
  return table.concat(items, ',')
end

local function with_member(members, member)
  if member == '' or string.find(',' .. members .. ',', ',' .. member .. ',', 1, true) then
    return members
  end
  if members == '' then
    return member
  end
  return count_items(members) < MEMBERS_MAX and members .. ',' .. member or members
end

-- The version at the head of the JSON at a place of the list.
local function version_at(turns_key, index)
  return tonumber(string.match(redis.call('LINDEX', turns_key, index), '^{"version":(%d+)'))
end

-- The first index whose turn has at least this version; `count` when there is none. The list is in order.
local function first_index(turns_key, count, version)
  local low, high = 0, count
  while low < high do
    local middle = math.floor((low + high) / 2)
    if version_at(turns_key, middle) < version then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- Push the views gathered since the last flush and drop what left the window of the last `window` versions.
local function flush_turns(turns_key, head, views, window)
  if #views == 0 then
    return
  end
  local count
  for at = 1, #views, PUSH_MAX do
    count = redis.call('RPUSH', turns_key, unpack(views, at, math.min(at + PUSH_MAX - 1, #views)))
  end
  local drop = 0
  if head.h == '' then
    drop = math.max(count - window, 0) -- nothing was ever hidden: the list is the last `count` versions
  else
    local oldest = tonumber(head.v) - window + 1
    while drop < count and version_at(turns_key, drop) < oldest do
      drop = drop + 1
    end
  end
  if drop > 0 then
    redis.call('LTRIM', turns_key, drop, -1)
  end
  head.c = text(count - drop)
end

local function add_turn(head, position, version, tokens, recorded_at_us, agent, user)
  head.p, head.v, head.l = position, version, recorded_at_us
  head.k = text(tonumber(head.k) + tonumber(tokens))
  if head.f == '0' then
    head.f = recorded_at_us
  end
  head.a, head.u = with_member(head.a, agent), with_member(head.u, user)
end

-- Removes a range from the middle of the list without moving the turns' bytes through Lua: mark, then LREM.
local function drop_turns(turns_key, head, from, to)
  local count = tonumber(head.c)
  if count == 0 then
    return
  end
  local first, past = first_index(turns_key, count, from), first_index(turns_key, count, to + 1)
  for index = first, past - 1 do
    redis.call('LSET', turns_key, index, '')
  end
  if past > first then
    redis.call('LREM', turns_key, past - first, '')
    head.c = text(count - (past - first))
  end
end

local function hide_turns(turns_key, nodes_key, head, from, to)
  drop_turns(turns_key, head, from, to)
  local kept = {}
  for _, node in ipairs(parse_ranges(head.n)) do
    if overlaps(node, from, to) then
      redis.call('HDEL', nodes_key, text(node.from))
    else
      kept[#kept + 1] = node
    end
  end
  head.n = write_nodes(kept)
  local range = text(from) .. '-' .. text(to)
  head.h = head.h == '' and range or head.h .. ',' .. range
end

-- Whether a summary is stale, cuts into a node it does not cover, or is older than the one that stands.
local function is_refused(new, nodes, hidden)
  local needed = 1
  for _, range in ipairs(parse_ranges(hidden)) do
    if overlaps(range, new.from, new.to) then
      needed = needed + 1
    end
  end
  if new.revision < needed then
    return true
  end
  for _, node in ipairs(nodes) do
    local within = new.from <= node.from and node.to <= new.to
    if not within and overlaps(node, new.from, new.to) then
      return true
    end
    if node.from == new.from and node.to == new.to and node.revision > new.revision then
      return true
    end
  end
  return false
end

local function add_summary(nodes_key, head, new, body)
  local nodes = parse_ranges(head.n)
  if is_refused(new, nodes, head.h) then
    return
  end
  local kept = {}
  for _, node in ipairs(nodes) do
    if new.from <= node.from and node.to <= new.to then
      redis.call('HDEL', nodes_key, text(node.from))
    else
      kept[#kept + 1] = node
    end
  end
  kept[#kept + 1] = new
  table.sort(kept, function(left, right)
    return left.from < right.from
  end)
  redis.call('HSET', nodes_key, text(new.from), body)
  head.n = write_nodes(kept)
end

local function expire(keys, first, ttl_s)
  if ttl_s ~= '0' then
    for at = first, first + 2 do
      redis.call('EXPIRE', keys[at], ttl_s)
    end
  end
end
