-- lock-take: acquires and extends locks, step by step in their order, on a node that has forgotten nothing.
--
-- KEYS
--   1 marker  the run that the node has forgotten nothing in
-- ARGV
--   1 run     the run that the caller has read
--   2 prefix  what the name of each lock begins with
--   3 steps   a line for each: `a` or `x`, the nonce, a space, the time in ms, a space, the id
-- Reply
--   one character for each step: `1` if the nonce holds the lock, `0` if another nonce does, `u` unless the marker
--   names the run, `e` for an error. Behind them, for each `e`, a line break and the error.
--   `a` locks what is free. `x` lets the lock last at least for the time, and locks it again where it is free.

local marked = redis.call('GET', KEYS[1]) == ARGV[1]

local function take(kind, nonce, ttl_ms, key)
  if kind == 'a' then
    return redis.call('SET', key, nonce, 'NX', 'PX', ttl_ms) and '1' or '0'
  end
  local holder = redis.call('GET', key)
  if holder and holder ~= nonce then return '0' end
  if redis.call('PTTL', key) < tonumber(ttl_ms) then redis.call('SET', key, nonce, 'PX', ttl_ms) end
  return '1'
end

local codes, errors = {}, {}
for kind, nonce, ttl_ms, id in string.gmatch(ARGV[3], '(.)(%S+) (%d+) (%S+)\n') do
  local code = 'u'
  if marked then
    -- An error belongs to its own step: the other steps are still run.
    local done, reply = pcall(take, kind, nonce, ttl_ms, ARGV[2] .. id)
    code = done and reply or 'e'
    -- Redis 7 raises a table, Redis 6 a string.
    if not done then
      errors[#errors + 1] = '\n' .. string.gsub(type(reply) == 'table' and reply.err or tostring(reply), '%s', ' ')
    end
  end
  codes[#codes + 1] = code
end
return table.concat(codes) .. table.concat(errors)
