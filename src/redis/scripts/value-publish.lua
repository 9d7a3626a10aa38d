-- value-publish: stores a value if its nonce is exactly the armed one, ends the lease and sends the wake.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce     the lease's secret
--   2 fence     the lease's own fence; it only words a refusal and never decides what is stored
--   3 kind      `value`, or `absent` where the source has nothing
--   4 value     the bytes; empty where kind is `absent`
--   5 ttl_ms    how long it is fresh
--   6 stale_ms  how long after that it may be served stale
--   7 tags      the value's tags, as JSON
--   8 keep_ms   how long the record outlives its contents
--   9 channel   where the wake is sent
--   10 id       the key's id, for the wake
--   11 wake_bytes_max  a wake carries its value if both, with the tags as JSON, have at most this many bytes; 0 for none
-- Reply
--   one text, of three parts with a space between: the outcome, which is stored, stored_late, duplicate, superseded,
--   invalidated or unknown_lease; the fence under which a value is now stored, 0 if there is none; and the tag clock of the
--   lease if it was stored, now or before, and the value is not over, empty otherwise.

-- include: now
-- include: estimate
-- include: text
-- include: remember
-- include: keep
local before = redis.call('HMGET', KEYS[1],
  'fence', 'nonce', 'lease_until', 'done', 'voided', 'value_fence', 'servable_until',
  'armed_at', 'rebuild_mean', 'rebuild_deviation', 'lease_clock', 'lease', 'past', 'published_at', 'failure')

if before[2] ~= ARGV[1] then
  local stored = tonumber(before[7] or 0) > now and tonumber(before[14] or 0) <= now and before[6] or '0'
  if not before[1] then return 'unknown_lease ' .. stored .. ' ' end
  if before[4] == ARGV[1] then
    local clock = stored ~= '0' and redis.call('HGET', KEYS[1], 'value_clock')
    return 'duplicate ' .. stored .. ' ' .. (clock or '')
  end
  if before[5] == ARGV[1] then return 'invalidated ' .. stored .. ' ' end
  if tonumber(before[1]) > tonumber(ARGV[2]) then return 'superseded ' .. stored .. ' ' end
  return 'unknown_lease ' .. stored .. ' '
end

-- For a lease from before the clock was set back.
local armed_at = math.min(now, tonumber(before[8]))
local in_time = tonumber(before[3]) > now and tonumber(before[8]) <= now
local mean, deviation = estimate(before[9], before[10], now - armed_at)

local fresh_until = now + tonumber(ARGV[5]) * 1000
local servable_until = fresh_until + tonumber(ARGV[6]) * 1000
redis.call('HSET', KEYS[1],
  'value_fence', before[1],
  'published_at', text(now),
  'fresh_until', text(fresh_until),
  'servable_until', text(servable_until),
  'rebuild_mean', mean,
  'rebuild_deviation', deviation,
  'value_clock', before[11],
  'tags', ARGV[7],
  'last_end', 'published',
  'past', past_with(past_line(before[1], armed_at, now, 'published', before[12], ''), before[13]),
  'done', ARGV[1],
  'value', ARGV[4])
-- An absent value has no such field, an empty one has an empty one.
if ARGV[3] ~= 'value' then redis.call('HDEL', KEYS[1], 'value') end
redis.call('HDEL', KEYS[1], 'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'by', 'lease', 'lease_clock')
if before[15] then
  redis.call('HDEL', KEYS[1],
    'failure', 'failure_fence', 'failure_until', 'failure_count', 'failed_at', 'failure_clock')
end
keep(KEYS[1], servable_until, before[1], ARGV[8])
local clock = before[11] or ''
local wake = 'published:' .. before[1] .. ':' .. ARGV[10]
if #ARGV[4] + #ARGV[7] <= tonumber(ARGV[11]) then
  -- In one concatenation, which copies the value once.
  redis.call('PUBLISH', ARGV[9], 'value:' .. wake .. ':' .. ARGV[3] .. ':' .. ARGV[5] .. ':' .. ARGV[6] .. ':'
    .. mean .. ':' .. deviation .. ':' .. clock .. ':'
    .. #ARGV[7] .. ':' .. ARGV[7] .. ARGV[4])
end
-- Also for replicas of the release before, which do not know the other one.
redis.call('PUBLISH', ARGV[9], wake)
return (in_time and 'stored ' or 'stored_late ') .. before[1] .. ' ' .. clock
