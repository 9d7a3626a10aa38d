-- value-read: reads the record of a key.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   none
-- Reply
--   the fields of record-fields.ts in their order, null where absent, and then the store's clock in
--   microseconds. `value` is null once it may not be served any more. What claims to begin after now is over,
--   and is removed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
return read_record(KEYS[1], now)
