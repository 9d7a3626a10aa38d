-- value-invalidate: drops the value or marks it stale, voids the armed lease, ends a back-off, raises the fence and
-- sends the wake. A key without a record gets one, for its wake needs a fence above that of any older value.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 mode     `delete` or `mark_stale`
--   2 keep_ms  how long the record outlives its contents
--   3 channel  where the wake is sent
--   4 id       the key's id, for the wake
-- Reply
--   1 if there was a value that could be served, else 0; the record's fence after it, as text; and the nonce that
--   was voided, null if none was armed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: text
-- include: remember
-- include: keep
local before = redis.call('HMGET', KEYS[1],
  'fence', 'nonce', 'fresh_until', 'servable_until', 'failure_until', 'armed_at', 'lease', 'past', 'published_at')
local servable_until = tonumber(before[4] or 0)
-- A value with a start after now was stored before the clock was set back: it has expired.
local had_value = servable_until > now and tonumber(before[9] or 0) <= now

-- First, even if nothing is armed: a full store refuses a script whose first write may take memory, and it must never
-- refuse an invalidation.
redis.call('HDEL', KEYS[1], 'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'by', 'lease', 'lease_clock')
if before[2] then
  redis.call('HSET', KEYS[1], 'voided', before[2])
  remember(KEYS[1], before[1], math.min(now, tonumber(before[6])), now, 'invalidated', before[7], '', before[8])
end

if had_value and ARGV[1] == 'mark_stale' then
  local fresh_until = tonumber(before[3])
  -- The time between the two ends is the value's stale_ms, or the rest of it after an earlier mark.
  servable_until = math.min(servable_until, now + (servable_until - fresh_until))
  redis.call('HSET', KEYS[1],
    'fresh_until', string.format('%.0f', math.min(fresh_until, now)),
    'servable_until', string.format('%.0f', servable_until))
else
  servable_until = 0
end
if servable_until <= now then
  redis.call('HDEL', KEYS[1], 'value', 'published_at', 'fresh_until', 'servable_until', 'value_clock', 'tags')
end

local fence = string.format('%.0f', math.max(tonumber(before[1] or 0) + 1, now))
redis.call('HSET', KEYS[1], 'fence', fence, 'last_end', 'invalidated')

-- The back-off ends here, but the next failure still counts the previous ones.
local failure_until = math.min(now, tonumber(before[5] or 0))
if failure_until == now then redis.call('HSET', KEYS[1], 'failure_until', string.format('%.0f', now)) end

local last = math.max(now, servable_until)
keep(KEYS[1], last, fence, ARGV[2])
redis.call('PUBLISH', ARGV[3], 'invalidated:' .. fence .. ':' .. ARGV[4])
return { had_value and 1 or 0, fence, before[2] }
