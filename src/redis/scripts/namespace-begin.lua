-- namespace-begin: begins the tag clock of a namespace if there is none, and keeps the namespace.
--
-- KEYS
--   1 namespace  the namespace's hash
--   2 order      its tags, by their last stamps
-- ARGV
--   1 fresh_id  the id of a clock that begins
--   2 keep_ms   how long the namespace lasts from now on at least
-- Reply
--   the clock's id, and its time.

local left_ms = redis.call('PTTL', KEYS[1])
if redis.call('HSETNX', KEYS[1], 'id', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'clock', '1')
  left_ms = 0
end
-- One without an end was begun by a replica of the previous release: namespace-read gives it one.
if left_ms >= 0 and left_ms < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'id', 'clock')
