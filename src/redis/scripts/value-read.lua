-- value-read: reads the record of a key.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 known_fence  the fence of a value that the caller has, which is not to be moved again; 0 for none
-- Reply
--   the fields of record-fields.ts in their order, null where absent; the store's clock in microseconds; and the
--   value's bytes, null for "absent" or if none may be served any more, or 1 if it is the one that the caller has. What
--   claims to begin after now has expired, and is removed.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: record
local record = read_record(KEYS[1], now)
local value = false
if is_servable(record, now) then
  value = record[2] == ARGV[1] and 1 or redis.call('HGET', KEYS[1], 'value')
end
table.insert(record, value)
return record
