-- value-forget: drops a value that may no longer be served, so that its bytes do not stay for as long as the record.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 fence  the fence of the value
-- Reply
--   how many microseconds it may still be served; 0 if it is dropped, or was replaced.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local found = redis.call('HMGET', KEYS[1], 'value_fence', 'servable_until')
if found[1] ~= ARGV[1] or not found[2] then return 0 end
local left = tonumber(found[2]) - now
if left > 0 then return left end
-- With its times: without its bytes it would count as absent, should the clock be set back.
redis.call('HDEL', KEYS[1], 'value', 'published_at', 'fresh_until', 'servable_until', 'value_clock', 'tags')
return 0
