-- slots-enter: takes one of a namespace's slots for a rebuild, if one is free.
--
-- KEYS
--   1 slots  a sorted set: the slots, by when each ends in microseconds of this server's clock
-- ARGV
--   1 slot   the name of the slot, of the caller's choice
--   2 max     how many there are
--   3 ttl_ms  how long it is taken for
--   4 ttl_ms_max  the longest that any is taken for
-- Reply
--   1 if it is taken, also if it was before; 0 if all are.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- A slot that ends later than any taken now could was taken before the clock was set back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + tonumber(ARGV[4]) * 1000), '+inf')
local has = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not has and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end

redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[3]) * 1000), ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])))
return 1
