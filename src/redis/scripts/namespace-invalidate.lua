-- namespace-invalidate: raises the tag clock, stamps tags or the whole namespace with it, and sends the wake. Where
-- there is no namespace, it begins one. A full store does not refuse it.
--
-- KEYS
--   1 namespace  the namespace's hash
--   2 order      a sorted set: its tags, by their last stamps
-- ARGV
--   1 fresh_id    the id of a clock that begins
--   2 tags        the tags to stamp, as JSON; none for the whole namespace
--   3 mode        `delete` or `mark_stale`
--   4 stamps_max  of more tags, those that were stamped longest ago are forgotten
--   5 marks_max   of more marks of one tag, those that lie closest are counted as one
--   6 keep_ms     how long a namespace lasts that begins here
--   7 channel     where the wake is sent
--   8 name        the namespace's name, as base64url, for the wake
-- Reply
--   the clock's id, and its time after the raise.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: stamps
local known = redis.call('HMGET', KEYS[1], 'id', 'clock', 'rebuild_mean', 'rebuild_deviation')
local left_ms = redis.call('PTTL', KEYS[1])
local tags = cjson.decode(ARGV[2])
local drops = ARGV[3] == 'delete'

-- First the step that frees memory: a full store refuses a script whose first write may take memory, and it must never
-- refuse an invalidation. What is deleted needs no older stamp.
if #tags == 0 and drops then
  redis.call('UNLINK', KEYS[1], KEYS[2])
else
  redis.call('HDEL', KEYS[1], 'none')
end

local id = known[1] or ARGV[1]
-- A new clock is 1 before its first invalidation.
local clock = string.format('%.0f', tonumber(known[2] or 1) + 1)
redis.call('HSET', KEYS[1], 'id', id, 'clock', clock)
if not known[1] or left_ms < 0 then left_ms = tonumber(ARGV[6]) end

-- If there are too many marks, the two that are closest relative to their age become one, with the time of the earlier:
-- values that they marked may end a little too early, never too late.
local function merge_closest(marks)
  local closest, least = 1, math.huge
  for at = 1, #marks - 1 do
    local share = (marks[at + 1].at_us - marks[at].at_us) / (now - marks[at].at_us + 1000)
    if share < least then closest, least = at, share end
  end
  marks[closest].clock = marks[closest + 1].clock
  table.remove(marks, closest + 1)
end

local function stamp(tag)
  local deleted_field, stale_field, marks_field = stamp_fields(tag)
  if drops then
    redis.call('HDEL', KEYS[1], stale_field, marks_field)
    redis.call('HSET', KEYS[1], deleted_field, clock)
    return
  end
  local stamps = redis.call('HMGET', KEYS[1], stale_field, marks_field)
  -- The times of earlier marks are kept: a value counts its stale time from the first mark after its lease.
  local marks = marks_of(stamps[1], stamps[2])
  table.insert(marks, { clock = tonumber(clock), at_us = now })
  if #marks > tonumber(ARGV[5]) then merge_closest(marks) end
  write_marks(KEYS[1], stale_field, marks_field, marks)
end

-- The stamps of a tag are removed: from now on its cells of the floor replace them.
local function forget(tag)
  local deleted_field, stale_field, marks_field = stamp_fields(tag)
  local stamps = redis.call('HMGET', KEYS[1], deleted_field, stale_field)
  local last = math.max(tonumber(stamps[1] or 0), tonumber(string.match(stamps[2] or '', '^%d+') or 0))
  redis.call('HDEL', KEYS[1], deleted_field, stale_field, marks_field)
  local cells = floor_cells(tag)
  local before = redis.call('HMGET', KEYS[1], unpack(cells))
  for row, cell in ipairs(cells) do
    if last > tonumber(before[row] or 0) then redis.call('HSET', KEYS[1], cell, string.format('%.0f', last)) end
  end
end

-- Replicas of the previous release do not know the floor: for them the namespace counts as deleted now.
local function raise_for_older()
  local whole = redis.call('HMGET', KEYS[1], 'deleted', 'floor_at')
  if not whole[2] or whole[1] ~= whole[2] then redis.call('HSET', KEYS[1], 'deleted_before', whole[1] or '0') end
  redis.call('HSET', KEYS[1], 'deleted', clock, 'floor_at', clock)
end

if #tags == 0 then stamp('') end
for _, tag in ipairs(tags) do
  stamp(tag)
  redis.call('ZADD', KEYS[2], clock, tag)
end

local stamps_max = tonumber(ARGV[4])
local over = redis.call('ZCARD', KEYS[2]) - stamps_max
-- Removes a few more at once, because each removal costs the replicas that do not know the floor all their values.
-- Refused if the Redis user has only the rights of the previous release.
local oldest = over > 0 and redis.pcall('ZPOPMIN', KEYS[2], over + math.floor(stamps_max / 256)) or {}
-- Tags that are missing in the order, because it was lost or a replica of the previous release stamped them, are never
-- forgotten one by one: if there are too many, the namespace forgets all, and counts as deleted. A tag has up to three
-- fields, and the floor 16,384.
local disordered = oldest.err or redis.call('HLEN', KEYS[1]) > 3 * stamps_max + 20000
if disordered then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'id', id, 'clock', clock, 'deleted', clock)
elseif #oldest > 0 then
  for at = 1, #oldest, 2 do forget(oldest[at]) end
  raise_for_older()
end
-- In case the hash was just created again.
if known[3] then redis.call('HSET', KEYS[1], 'rebuild_mean', known[3], 'rebuild_deviation', known[4]) end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left_ms))
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', left_ms))

local named = (#tags == 0 or disordered) and 'all' or ARGV[2]
redis.call('PUBLISH', ARGV[7], 'stamped:' .. clock .. ':' .. ARGV[8] .. ':' .. id .. ':' .. named)
-- Replicas of the previous release know only this form, without the names of tags.
redis.call('PUBLISH', ARGV[7], 'tags:' .. clock .. ':' .. ARGV[8])
return { id, tonumber(clock) }
