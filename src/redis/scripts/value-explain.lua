-- value-explain: reads the record of a key, with the size of its value, and the last leases that have ended.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   none
-- Reply
--   the fields and the clock as value-read; the size of the value in bytes, null for "absent" or if none may be served
--   any more; and a line of JSON for each lease, newest first, null if none has ended.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
local record = read_record(KEYS[1], now)
local size = false
if is_servable(record, now) then
  -- Not HSTRLEN, which the Redis users of previous releases may not use.
  local value = redis.call('HGET', KEYS[1], 'value')
  size = value and #value
end
table.insert(record, size)
table.insert(record, redis.call('HGET', KEYS[1], 'past'))
return record
