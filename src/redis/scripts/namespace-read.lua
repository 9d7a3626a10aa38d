-- namespace-read: reads what is known of a namespace, and adds one rebuild to its times if the caller has one to tell
-- of. Where there is no namespace, it leaves nothing behind.
--
-- KEYS
--   1 namespace  the namespace's hash
-- ARGV
--   1 tags     the tags whose stamps are wanted, as JSON
--   2 took_us  how long a rebuild took, in microseconds; empty for none
-- Reply
--   the clock's id, its time, the mean and the deviation of rebuild times in microseconds, null where none
--   is known, this server's clock in microseconds, and how many milliseconds the namespace lasts; then, of the whole
--   namespace and of each tag, when it was last deleted on the tag clock, 0 for never, and when it was marked stale
--   since then, oldest first: each mark is its time on the tag clock and on this server's, with a colon between, and
--   they are separated by commas. Null alone where there is no namespace.

-- For a namespace that a replica of the previous release began, which does not say how long it is needed: 30 days.
local UNKNOWN_KEEP_MS = 2592000000

-- include: now
-- include: estimate
-- include: stamps
local known = redis.call('HMGET', KEYS[1],
  'id', 'clock', 'rebuild_mean', 'rebuild_deviation', 'floor_at', 'deleted_before')
if not known[1] then return false end
local took = tonumber(ARGV[2])
if took then
  known[3], known[4] = estimate(known[3], known[4], took)
  -- A full store refuses this write. The read is answered anyway.
  redis.pcall('HSET', KEYS[1], 'rebuild_mean', known[3], 'rebuild_deviation', known[4])
end
local left_ms = redis.call('PTTL', KEYS[1])
if left_ms < 0 then
  left_ms = UNKNOWN_KEEP_MS
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left_ms))
end

-- When the tag was deleted: by its stamp or, if that was forgotten, by the floor.
local function deleted_at(tag, stamp)
  if tag == '' then
    -- For replicas that do not know the floor, the namespace counts as deleted whenever a stamp is forgotten.
    return tonumber((stamp and stamp == known[5]) and known[6] or stamp or 0)
  end
  return tonumber(stamp or (known[5] and floor_of(KEYS[1], tag)) or 0)
end

local reply = { known[1], known[2], known[3], known[4], now, left_ms }
local tags = cjson.decode(ARGV[1])
table.insert(tags, 1, '')
for _, tag in ipairs(tags) do
  local deleted_field, stale_field, marks_field = stamp_fields(tag)
  local stamps = redis.call('HMGET', KEYS[1], deleted_field, stale_field, marks_field)
  local deleted = deleted_at(tag, stamps[1])
  local marks = marks_of(stamps[2], stamps[3])
  -- Marked before this server's clock was set back, so its age is unknown: values that it marked are over for good, and
  -- do not return when the clock reaches that time.
  local over = 0
  for _, mark in ipairs(marks) do if mark.at_us > now then over = mark.clock end end
  local texts, since = {}, {}
  for _, mark in ipairs(marks) do
    if mark.clock > over then table.insert(since, mark) end
    if mark.clock > math.max(over, deleted) then table.insert(texts, mark_text(mark)) end
  end
  if over > 0 then
    deleted = math.max(deleted, over)
    -- First: a full store refuses a script whose first write may take memory, and it must never refuse a read.
    redis.call('HDEL', KEYS[1], 'none')
    -- For replicas that do not know the floor, the stamp of the whole namespace is never lowered.
    local field = stamps[1] and tag == '' and stamps[1] == known[5] and 'deleted_before' or deleted_field
    redis.call('HSET', KEYS[1], field, string.format('%.0f', deleted))
    write_marks(KEYS[1], stale_field, marks_field, since)
  end
  table.insert(reply, deleted)
  table.insert(reply, table.concat(texts, ','))
end
return reply
