-- value-extend: extends the armed lease, also an expired one; it never shortens it, and no lease
-- lasts for longer in all than hold_ms.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce          the lease's secret
--   2 expires_in_ms  how long it is to last from now on
--   3 alone          1 if the quorum was not there to agree, else 0
--   4 keep_ms        how long the record outlives its contents
--   5 hold_ms        how long a lease may last in all, from when it was armed
--   6 group          the name of the lock nodes that agreed, or would have
-- Reply
--   how many microseconds the lease lasts from now on; null if it is not armed, or has lasted for hold_ms.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: text
-- include: keep
local before = redis.call('HMGET', KEYS[1],
  'nonce', 'lease_until', 'servable_until', 'failure_until', 'armed_at', 'fence', 'alone', 'by')
if before[1] ~= ARGV[1] then return false end

local armed_at, lease_until = tonumber(before[5]), tonumber(before[2])
-- The clock was set back since: how long the lease has lasted is unknown, and its end is not reliable.
if armed_at > now then armed_at, lease_until = now, now end
local held_until = armed_at + tonumber(ARGV[5]) * 1000
if held_until <= now then return false end

local until_us = math.max(lease_until, math.min(held_until, now + tonumber(ARGV[2]) * 1000))
-- For two groups, neither can keep another lease away by itself.
local group = before[7] == '1' and before[8] or before[7]
if group ~= ARGV[6] then group = '*' end
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'by', group) end
redis.call('HSET', KEYS[1],
  'lease_until', string.format('%.0f', until_us), 'armed_at', string.format('%.0f', armed_at),
  'alone', ARGV[3] == '1' and '1' or group)
local last = math.max(until_us, tonumber(before[3] or 0), tonumber(before[4] or 0))
keep(KEYS[1], last, before[6], ARGV[4])
return until_us - now
