-- The names of a tag's fields; of the whole namespace's for an empty tag, which no tag is.
local function stamp_fields(tag)
  local of = tag == '' and '' or ':' .. tag
  return 'deleted' .. of, 'stale' .. of, 'marks' .. of
end

-- The marks of a tag, oldest first, each with its time on the tag clock and on this server's. `stale` has the last one,
-- which a replica of the previous release may have written alone.
local function marks_of(stale, marks)
  local found = {}
  for clock, at_us in string.gmatch(marks or '', '(%d+):(%d+)') do
    table.insert(found, { clock = tonumber(clock), at_us = tonumber(at_us) })
  end
  local clock, at_us = string.match(stale or '', '^(%d+):(%d+)$')
  local last = #found > 0 and found[#found].clock or 0
  if clock and tonumber(clock) > last then
    table.insert(found, { clock = tonumber(clock), at_us = tonumber(at_us) })
  end
  return found
end

local function mark_text(mark)
  return string.format('%.0f:%.0f', mark.clock, mark.at_us)
end

-- A single mark is only in `stale`.
local function write_marks(key, stale_field, marks_field, marks)
  if #marks == 0 then
    redis.call('HDEL', key, stale_field, marks_field)
    return
  end
  redis.call('HSET', key, stale_field, mark_text(marks[#marks]))
  if #marks == 1 then
    redis.call('HDEL', key, marks_field)
    return
  end
  local texts = {}
  for _, mark in ipairs(marks) do table.insert(texts, mark_text(mark)) end
  redis.call('HSET', key, marks_field, table.concat(texts, ','))
end

-- The cells of a tag in the floor of forgotten stamps: one in each of four rows of 4,096.
local function floor_cells(tag)
  local hash, cells = redis.sha1hex(tag), {}
  for row = 1, 4 do cells[row] = 'floor:' .. row .. ':' .. string.sub(hash, row * 3 - 2, row * 3) end
  return cells
end

-- No forgotten stamp of the tag is above it: the lowest of its cells.
local function floor_of(key, tag)
  local lowest
  for _, stamp in ipairs(redis.call('HMGET', key, unpack(floor_cells(tag)))) do
    lowest = math.min(lowest or math.huge, tonumber(stamp or 0))
  end
  return lowest
end
