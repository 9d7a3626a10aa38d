-- lock-mark: marks this node as one that has forgotten nothing, if that is known.
--
-- KEYS
--   1 marker  the run that the node has forgotten nothing in
--   2 wait    a hash: the run that waits, since when in µs of this node's clock, and for how many ms
-- ARGV
--   1 run          the node's own run
--   2 since        the wait that the caller saw: another one means that the node has forgotten again
--   3 first_start  1 if no quorum ever voted, so that a node without any marker need not wait
-- Reply
--   1 if it was marked, 0 if the wait is another one, or not yet older than the longest lease.

local wait = redis.call('HMGET', KEYS[2], 'run', 'since', 'ms')
if wait[1] ~= ARGV[1] or wait[2] ~= ARGV[2] then return 0 end

local first = ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 0
local time = redis.call('TIME')
local waited = time[1] * 1000000 + time[2] - tonumber(wait[2])
if not first and waited <= tonumber(wait[3]) * 1000 then return 0 end

redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
