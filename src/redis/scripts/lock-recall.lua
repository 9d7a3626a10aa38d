-- lock-recall: says whether this node has forgotten nothing, and begins its wait if it may have.
--
-- KEYS
--   1 marker  the run that the node has forgotten nothing in
--   2 wait    a hash: the run that waits, since when in µs of this node's clock, and for how many ms
-- ARGV
--   1 run           the node's own run
--   2 lease_ms_max  the longest lease that the caller gives; the wait lasts as long as any caller's
-- Reply
--   {1, 0, '', 0} if the marker names the run. Else {0, 1 if there is no marker at all, since, left_ms}.

local marker = redis.call('GET', KEYS[1])
if marker == ARGV[1] then return { 1, 0, '', 0 } end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait = redis.call('HMGET', KEYS[2], 'run', 'since', 'ms')
local since, ms = wait[2], tonumber(wait[3] or 0)
-- A clock that was set back says nothing about how long the node has waited: it begins anew.
if wait[1] ~= ARGV[1] or tonumber(since) > now then
  since, ms = string.format('%.0f', now), 0
  redis.call('HSET', KEYS[2], 'run', ARGV[1], 'since', since)
end
if ms < tonumber(ARGV[2]) then
  ms = tonumber(ARGV[2])
  redis.call('HSET', KEYS[2], 'ms', ARGV[2])
end
local left_ms = math.ceil(ms - (now - tonumber(since)) / 1000) + 1
return { 0, marker and 0 or 1, since, math.max(0, left_ms) }
