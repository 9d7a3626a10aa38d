-- value-read: reads the record of a key.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 known_fence  the fence of a value that the caller has, which is not to be moved again; 0 for none
--   2 bytes_max    a larger value is not moved; empty for any
-- Reply
--   the fields of record-fields.ts in their order, null where absent; the store's clock in microseconds; and the
--   value's bytes, null for "absent" or if none may be served any more, or 1 if it is the one that the caller has. Its
--   size if it is larger than bytes_max, and 0 if this call has read enough: ask for it again. What claims
--   to begin after now has expired, and is removed. Null alone where there is no record.

-- include: now
-- include: record
-- include: small-value
-- Most of those who have no value meet none here: one field says so, at a fraction of what asking for all costs.
if ARGV[1] == '0' and not redis.call('HGET', KEYS[1], 'fence') then return false end
local record = read_record(KEYS[1], now)
if not record[1] then return false end
local value = false
if is_servable(record, now) then
  value = record[2] == ARGV[1] and 1 or small_value(KEYS[1], tonumber(ARGV[2]))
end
table.insert(record, value)
return record
