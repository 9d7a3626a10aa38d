-- value-adopt: hands the armed lease out once more, by raising its owner number.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce  the lease's secret
--   2 owner  the owner number that must still be the lease's; empty for any
--   3 lease  labels of the lease, as JSON, if it is another caller's from now on; empty to keep them
-- Reply
--   the fields and the clock as value-read, with the raised owner number; null if the lease is not armed, or has
--   another owner number.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
local armed = redis.call('HMGET', KEYS[1], 'nonce', 'owner')
if armed[1] ~= ARGV[1] then return false end
if ARGV[2] ~= '' and armed[2] ~= ARGV[2] then return false end
redis.call('HINCRBY', KEYS[1], 'owner', 1)
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'lease', ARGV[3]) end
return read_record(KEYS[1], now)
