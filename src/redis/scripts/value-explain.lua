-- value-explain: reads the record of a key, and the last leases that have ended.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   none
-- Reply
--   as value-look, and then a line of JSON for each lease, newest first; null if none has ended.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local record = redis.call('HMGET', KEYS[1],
  'fence', 'value_fence', 'value', 'published_at', 'fresh_until', 'servable_until', 'last_end', 'voided',
  'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'lease',
  'failure', 'failure_fence', 'failure_until', 'failure_count', 'rebuild_mean', 'rebuild_deviation',
  'value_clock', 'tags')
if tonumber(record[6] or 0) <= now then record[3] = false end
table.insert(record, now)
table.insert(record, redis.call('HGET', KEYS[1], 'past'))
return record
