-- lock-extend: extends a lock, and locks it again if it is free. Never shortens it.
--
-- KEYS
--   1 lock    the id's lock
--   2 marker  the run that the node has forgotten nothing in
-- ARGV
--   1 nonce   the lock's secret
--   2 ttl_ms  how long the lock lasts at least, from now on
--   3 run     the run that the caller has read
-- Reply
--   1 if the nonce holds the lock, 0 if another nonce does. The error UNMARKED unless the marker names
--   the run: never a 0, which would read as "held".

if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return redis.error_reply('UNMARKED this node may have forgotten locks and does not vote')
end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
