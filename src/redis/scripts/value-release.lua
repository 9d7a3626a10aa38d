-- value-release: ends the armed lease without a value, with or without a failure, and sends the wake.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce           the lease's secret
--   2 owner           the owner number that must still be the lease's; empty for any
--   3 last_end        how the lease ended, for later reads
--   4 failed          1 to record a failure, else 0
--   5 failure         what the holder said
--   6 retry_after_ms  how long the back-off runs; empty: by the number of failures in a row
--   7 backoff_ms      the back-off after the first failure, doubled for each one in a row before this one
--   8 backoff_ms_max  the longest such back-off
--   9 keep_ms         how long the record outlives its contents
--   10 channel        where the wake is sent
--   11 id             the key's id, for the wake
-- Reply
--   1 if the lease was ended, 0 if it was not armed or has been handed out again.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- include: text
-- include: remember
-- include: keep
local before = redis.call('HMGET', KEYS[1],
  'fence', 'nonce', 'owner', 'failure_count', 'armed_at', 'lease', 'past', 'lease_clock')
if before[2] ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' and before[3] ~= ARGV[2] then return 0 end

-- First: a full store refuses a script whose first write may take memory, and releasing must still work.
redis.call('HDEL', KEYS[1], 'nonce', 'lease_until', 'armed_at', 'owner', 'alone', 'by', 'lease', 'lease_clock')
redis.call('HSET', KEYS[1], 'last_end', ARGV[3])
remember(KEYS[1], before[1], math.min(now, tonumber(before[5])), now, ARGV[3], before[6], ARGV[5], before[7])
local kind = 'released'
if ARGV[4] == '1' then
  kind = 'failed'
  local in_a_row = tonumber(before[4] or 0)
  -- No back-off needs more doublings. From 1,024 on the factor would be infinite, and 0 times that is no number.
  local doublings = math.min(in_a_row, 64)
  local backoff_ms = tonumber(ARGV[6])
    or math.min(tonumber(ARGV[7]) * 2 ^ doublings, tonumber(ARGV[8]))
  redis.call('HSET', KEYS[1],
    'failure', ARGV[5],
    'failure_fence', before[1],
    'failed_at', string.format('%.0f', now),
    'failure_until', string.format('%.0f', now + backoff_ms * 1000),
    'failure_count', string.format('%.0f', in_a_row + 1),
    'failure_clock', before[8])
end

local ends = redis.call('HMGET', KEYS[1], 'servable_until', 'failure_until')
local last = math.max(now, tonumber(ends[1] or 0), tonumber(ends[2] or 0))
keep(KEYS[1], last, before[1], ARGV[9])
redis.call('PUBLISH', ARGV[10], kind .. ':' .. before[1] .. ':' .. ARGV[11])
return 1
