-- namespace-invalidate: raises the tag clock, stamps tags or the whole namespace with it, and sends the wake.
--
-- KEYS
--   1 namespace  the namespace's hash
-- ARGV
--   1 fresh_id    the id of a clock that begins
--   2 tags        the tags to stamp, as JSON; none for the whole namespace
--   3 mode        `delete` or `mark_stale`
--   4 stamps_max  beyond so many the stamps are forgotten, and the whole namespace counts as deleted
--   5 channel     where the wake is sent
--   6 name        the namespace's name, as base64url, for the wake
-- Reply
--   the clock's id, and its time after the raise.

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])

redis.call('HSETNX', KEYS[1], 'id', ARGV[1])
-- A clock that begins is 1 before its first invalidation.
redis.call('HSETNX', KEYS[1], 'clock', '1')
local clock = redis.call('HINCRBY', KEYS[1], 'clock', 1)

local prefix, stamp = 'deleted', clock
if ARGV[3] == 'mark_stale' then prefix, stamp = 'stale', clock .. ':' .. now end
local tags = cjson.decode(ARGV[2])
if #tags == 0 then redis.call('HSET', KEYS[1], prefix, stamp) end
for _, tag in ipairs(tags) do redis.call('HSET', KEYS[1], prefix .. ':' .. tag, stamp) end

local forgotten = redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4])
if forgotten then
  local kept = redis.call('HMGET', KEYS[1], 'id', 'rebuild_mean', 'rebuild_deviation')
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', kept[1], 'clock', clock, 'deleted', clock)
  if kept[2] then redis.call('HSET', KEYS[1], 'rebuild_mean', kept[2], 'rebuild_deviation', kept[3]) end
end
local id = redis.call('HGET', KEYS[1], 'id')
local named = (#tags == 0 or forgotten) and 'all' or ARGV[2]
redis.call('PUBLISH', ARGV[5], 'stamped:' .. clock .. ':' .. ARGV[6] .. ':' .. id .. ':' .. named)
-- Replicas of the release before know only this form, which names no tags.
redis.call('PUBLISH', ARGV[5], 'tags:' .. clock .. ':' .. ARGV[6])
return { id, clock }
