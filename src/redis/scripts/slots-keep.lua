-- slots-keep: keeps a slot, and gives it another name.
--
-- KEYS
--   1 slots  as in slots-enter
-- ARGV
--   1 slot   the name that it was taken under
--   2 as      its name from now on; the same to keep it
--   3 ttl_ms  how long it lasts from now on
-- Reply
--   1 if it was still taken, 0 if its time was over.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local until_us = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
redis.call('ZREM', KEYS[1], ARGV[1])
if until_us <= now then return 0 end

redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3]) * 1000), ARGV[2])
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])))
return 1
