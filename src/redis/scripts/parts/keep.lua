-- The record lasts for keep_ms after the last end of its contents, and at least until this server's clock has passed
-- its fence. Otherwise the next fence would be lower after the clock was set back.
local function keep(key, last_us, fence, keep_ms)
  local end_ms = math.max(math.ceil(last_us / 1000) + tonumber(keep_ms), math.ceil(tonumber(fence) / 1000) + 1)
  redis.call('PEXPIREAT', key, text(end_ms))
end
