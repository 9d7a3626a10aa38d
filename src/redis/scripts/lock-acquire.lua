-- lock-acquire: locks an id for a nonce unless anybody holds it, on a node that has forgotten nothing.
--
-- KEYS
--   1 lock    the id's lock
--   2 marker  the run that the node has forgotten nothing in
-- ARGV
--   1 nonce   the lock's secret
--   2 ttl_ms  how long the lock lasts
--   3 run     the run that the caller has read
-- Reply
--   1 if the nonce holds the lock, 0 if another nonce does. The error UNMARKED unless the marker names
--   the run: never a 0, which would read as "held".

if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return redis.error_reply('UNMARKED this node may have forgotten locks and does not vote')
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
