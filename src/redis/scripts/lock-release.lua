-- lock-release: takes away the lock that a nonce holds, and no other. Needs no marker.
--
-- KEYS
--   1 lock   the id's lock
-- ARGV
--   1 nonce  the lock's secret
-- Reply
--   1 if it was there, 0 if not.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
