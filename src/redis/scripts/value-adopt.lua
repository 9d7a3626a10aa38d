-- value-adopt: hands the armed lease out once more, by raising its owner number.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce  the lease's secret
-- Reply
--   as value-look, with the raised owner number; null if the lease is not armed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[1] then return false end
redis.call('HINCRBY', KEYS[1], 'owner', 1)

local record = redis.call('HMGET', KEYS[1],
  'fence', 'value_fence', 'value', 'published_at', 'fresh_until', 'servable_until', 'last_end', 'voided',
  'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'lease',
  'failure', 'failure_fence', 'failure_until', 'failure_count', 'rebuild_mean', 'rebuild_deviation',
  'value_clock', 'tags')
if tonumber(record[6] or 0) <= now then record[3] = false end
table.insert(record, now)
return record
