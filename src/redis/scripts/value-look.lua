-- value-look: reads the record of a key.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   none
-- Reply
--   the fields of record-fields.ts in their order, null where absent, and then the store's clock in
--   microseconds. `value` is null once it may not be served any more.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local record = redis.call('HMGET', KEYS[1],
  'fence', 'value_fence', 'value', 'published_at', 'fresh_until', 'servable_until', 'last_end', 'voided',
  'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'lease',
  'failure', 'failure_fence', 'failure_until', 'failure_count', 'rebuild_mean', 'rebuild_deviation',
  'value_clock', 'tags')
-- The record outlives its value, which may be large and is of no use any more.
if tonumber(record[6] or 0) <= now then record[3] = false end
table.insert(record, now)
return record
