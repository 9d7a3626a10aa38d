-- namespace-learn: adds one rebuild to the times of a namespace, as value-publish does for a key.
--
-- KEYS
--   1 namespace  the namespace's hash
-- ARGV
--   1 took_us  how long the rebuild took, in microseconds
-- Reply
--   1

local took = tonumber(ARGV[1])
local before = redis.call('HMGET', KEYS[1], 'rebuild_mean', 'rebuild_deviation')
local mean, deviation = took, took / 2
if before[1] then
  local off = took - tonumber(before[1])
  mean = tonumber(before[1]) + off / 8
  deviation = tonumber(before[2]) + (math.abs(off) - tonumber(before[2])) / 4
end
redis.call('HSET', KEYS[1],
  'rebuild_mean', string.format('%.0f', mean), 'rebuild_deviation', string.format('%.0f', deviation))
return 1
