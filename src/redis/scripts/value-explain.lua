-- value-explain: reads the record of a key, and the last leases that have ended.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   none
-- Reply
--   as value-read, and then a line of JSON for each lease, newest first; null if none has ended.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
local record = read_record(KEYS[1], now)
table.insert(record, redis.call('HGET', KEYS[1], 'past'))
return record
