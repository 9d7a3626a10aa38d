-- The bytes of values read in this call.
local bytes_read = 0
-- The limit of values read in one call: the store does nothing else while it works on one.
local CALL_BYTES_MAX = 65536

-- The value, false for "absent"; its size if it is larger than bytes_max; 0 if this call has read enough.
local function small_value(key, bytes_max)
  if bytes_read > CALL_BYTES_MAX then return 0 end
  local value = redis.call('HGET', key, 'value')
  if not value then return false end
  bytes_read = bytes_read + #value
  return bytes_max and #value > bytes_max and #value or value
end
