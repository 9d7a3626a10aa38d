-- Data with a start after now was written before this server's clock was set back. It has expired and is removed, or it
-- would return when the clock reaches that time. A lease stays armed, as any expired lease does.
local function end_future(key, now, published_at, armed_at, failed_at)
  local at = string.format('%.0f', now)
  -- First: a full store refuses a script whose first write may take memory, and it must never refuse a read.
  redis.call('HDEL', key, 'none')
  if tonumber(published_at or 0) > now then
    redis.call('HDEL', key, 'value', 'published_at', 'fresh_until', 'servable_until', 'value_clock', 'tags')
  end
  if tonumber(armed_at or 0) > now then redis.call('HSET', key, 'armed_at', at, 'lease_until', at) end
  if tonumber(failed_at or 0) > now then redis.call('HSET', key, 'failed_at', at, 'failure_until', at) end
end

-- The fields of record-fields.ts in their order.
local function fields_of(key)
  return redis.call('HMGET', key,
    'fence', 'value_fence', 'published_at', 'fresh_until', 'servable_until', 'last_end', 'voided',
    'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'lease',
    'failure', 'failure_fence', 'failure_until', 'failure_count', 'rebuild_mean', 'rebuild_deviation',
    'value_clock', 'tags', 'failed_at', 'failure_clock')
end

-- The record as of now without its value: its fields, which were just read, followed by the clock.
local function as_of(key, record, now)
  if tonumber(record[3] or 0) > now or tonumber(record[10] or 0) > now or tonumber(record[22] or 0) > now then
    end_future(key, now, record[3], record[10], record[22])
    record = fields_of(key)
  end
  record[#record + 1] = now
  return record
end

local function read_record(key, now)
  return as_of(key, fields_of(key), now)
end

-- Whether the value of this record may still be served: the record outlives it.
local function is_servable(record, now)
  return tonumber(record[5] or 0) > now
end
