-- value-arm: makes a granted lease the one whose publish counts, if the record is still as the caller read it.
--
-- KEYS
--   1 record  the key's hash
-- ARGV
--   1 nonce             the lease's secret
--   2 expires_in_ms     how long the lease lasts from now on
--   3 fence_read        the record's fence when the caller read it; 0 for no record
--   4 value_fence_read  the fence of the last stored value when the caller read it; 0 for none
--   5 alone             1 if the quorum was not there to grant it, else 0
--   6 lease             labels of the lease, as JSON, for later reads
--   7 clock             the namespace's tag clock, which the value that is published will carry
--   8 keep_ms           how long the record outlives its contents
--   9 silence_ms        how long after the end of an armed lease the store alone arms no other, and neither do other
--                       lock nodes
--   10 group            the name of the lock nodes that granted it, or would have
-- Reply
--   the fields and the clock as value-read, and then 1 if the lease is armed, 0 if not. Armed: nothing was armed or
--   stored since the caller read the record, and there is no running lease in the way; or this very nonce was armed
--   before. Where the lease is the first thing in the record, only its fence, as text.

-- include: now
-- include: text
-- include: remember
-- include: record
-- include: keep
-- A caller that read no record rarely finds one now. One field shows that, and costs a fraction of all fields.
local is_first = ARGV[3] == '0' and ARGV[4] == '0' and not redis.call('HGET', KEYS[1], 'fence')
local record = is_first and {} or fields_of(KEYS[1])
local fence, nonce, lease_until, armed_at = tonumber(record[1] or 0), record[8], record[9], record[10]
-- The reply to the first arm was lost: nothing is changed, so a late copy of the request extends nothing.
local armed = nonce == ARGV[1]
-- Look, then another replica's whole lease and publish, then this arm: without the two comparisons it would supersede
-- that lease, or rebuild a value that was just stored.
local as_read = fence == tonumber(ARGV[3]) and tonumber(record[2] or 0) == tonumber(ARGV[4])
-- If two leases were not granted by the same lock nodes, only the record can keep them apart. A lease with a start
-- after now was armed before the clock was set back: it has expired.
local running = nonce and tonumber(lease_until) > now and tonumber(armed_at) <= now
-- Its holder may have extended it at its lock nodes while this store was late.
local may_run = nonce and tonumber(lease_until) + tonumber(ARGV[9]) * 1000 > now and tonumber(armed_at) <= now
local alone, group = record[12] == '1', record[12]
if may_run and alone then group = redis.call('HGET', KEYS[1], 'by') end
local in_the_way = running and alone or may_run and (ARGV[5] == '1' or group ~= ARGV[10])

if not armed and as_read and not in_the_way then
  armed = true
  if nonce then
    local ended_at = math.min(now, tonumber(lease_until))
    local past = redis.call('HGET', KEYS[1], 'past')
    redis.call('HSET', KEYS[1], 'last_end', 'expired')
    remember(KEYS[1], record[1], math.min(ended_at, tonumber(armed_at)), ended_at, 'expired', record[13], '', past)
    record[6] = 'expired'
  end
  local until_us = now + tonumber(ARGV[2]) * 1000
  fence = math.max(fence + 1, now)
  local at = text(now)
  record[1], record[8], record[9] = text(fence), ARGV[1], text(until_us)
  record[10], record[11], record[12], record[13] = at, '1', ARGV[5] == '1' and '1' or ARGV[10], ARGV[6]
  if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'by', ARGV[10]) end
  redis.call('HSET', KEYS[1],
    'fence', record[1],
    'nonce', ARGV[1],
    'lease_until', record[9],
    'armed_at', at,
    'owner', '1',
    'alone', record[12],
    'lease', ARGV[6],
    'lease_clock', ARGV[7])
  local last = math.max(until_us, tonumber(record[5] or 0), tonumber(record[16] or 0))
  keep(KEYS[1], last, fence, ARGV[8])
  if is_first then return record[1] end
end

-- What is written now is also in `record`, so it need not be read again.
record = as_of(KEYS[1], record, now)
table.insert(record, armed and 1 or 0)
return record
