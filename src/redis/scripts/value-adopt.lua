-- value-adopt: hands the armed lease out once more, by raising its owner number.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce  the lease's secret
-- Reply
--   the fields and the clock as value-read, with the raised owner number; null if the lease is not armed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then return false end
redis.call('HINCRBY', KEYS[1], 'owner', 1)
return read_record(KEYS[1], now)
