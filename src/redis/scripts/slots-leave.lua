-- slots-leave: gives a slot back and sends the wake.
--
-- KEYS
--   1 slots  as in slots-enter
-- ARGV
--   1 slot    its name
--   2 channel  where the wake is sent
--   3 name     the namespace's name, as base64url, for the wake
-- Reply
--   1 if it was taken, 0 if not.

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('PUBLISH', ARGV[2], 'room:0:' .. ARGV[3])
return 1
