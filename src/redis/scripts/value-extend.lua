-- value-extend: lets the armed lease last longer, also one whose time is over; it never shortens it.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce          the lease's secret
--   2 expires_in_ms  how long it is to last from now on
--   3 alone          1 if the quorum was not there to agree, else 0
--   4 keep_ms        how long the record outlives whatever is in it
-- Reply
--   how many microseconds the lease lasts from now on; null if it is not armed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local before = redis.call('HMGET', KEYS[1], 'nonce', 'lease_until', 'servable_until', 'failure_until')
if before[1] ~= ARGV[1] then return false end

local until_us = math.max(tonumber(before[2]), now + tonumber(ARGV[2]) * 1000)
redis.call('HSET', KEYS[1], 'lease_until', string.format('%.0f', until_us), 'alone', ARGV[3])
local last = math.max(until_us, tonumber(before[3] or 0), tonumber(before[4] or 0))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil(last / 1000) + tonumber(ARGV[4])))
return until_us - now
