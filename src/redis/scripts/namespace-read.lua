-- namespace-read: reads what is known of a namespace, begins its tag clock if there is none, and adds one rebuild to
-- its times if the caller has one to tell of.
--
-- KEYS
--   1 namespace  the namespace's hash
-- ARGV
--   1 fresh_id  the id of a clock that begins
--   2 tags      the tags whose stamps are wanted, as JSON
--   3 took_us   how long a rebuild took, in microseconds; empty for none
-- Reply
--   the clock's id, its time, the mean and the deviation of rebuild times in microseconds, null where none
--   is known, and this server's clock in microseconds; then, of the whole namespace and of each tag, when it
--   was last deleted on the tag clock and last marked stale, null for never. The latter is the time on the tag
--   clock and on this server's, with a colon between.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: estimate
local known = redis.call('HMGET', KEYS[1], 'id', 'clock', 'rebuild_mean', 'rebuild_deviation')
if not known[1] then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'clock', '1')
  known[1], known[2] = ARGV[1], '1'
end
local took = tonumber(ARGV[3])
if took then
  known[3], known[4] = estimate(known[3], known[4], took)
  -- A full store refuses this write. The read is answered all the same.
  redis.pcall('HSET', KEYS[1], 'rebuild_mean', known[3], 'rebuild_deviation', known[4])
end
table.insert(known, now)

local fields = { 'deleted', 'stale' }
for _, tag in ipairs(cjson.decode(ARGV[2])) do
  table.insert(fields, 'deleted:' .. tag)
  table.insert(fields, 'stale:' .. tag)
end
local stamps = redis.call('HMGET', KEYS[1], unpack(fields))
for at = 2, #fields, 2 do
  local clock, marked_at = string.match(stamps[at] or '', '^(%d+):(%d+)$')
  -- Marked before this server's clock was set back, so that it is not known how long ago: what it marked is over for
  -- good, and does not come back when the clock gets there.
  if marked_at and tonumber(marked_at) > now then
    if tonumber(clock) > tonumber(stamps[at - 1] or 0) then
      redis.call('HSET', KEYS[1], fields[at - 1], clock)
      stamps[at - 1] = clock
    end
    redis.call('HDEL', KEYS[1], fields[at])
    stamps[at] = false
  end
end
for at = 1, #fields do table.insert(known, stamps[at]) end
return known
