-- The lease that ends is remembered as a line of JSON, before those that ended earlier.
local function remember(fence, armed_at, ended_at, how, lease, failure, past)
  local lines = { cjson.encode({
    holder = cjson.decode(lease).holder,
    fence = fence,
    held_us = string.format('%.0f', ended_at - armed_at),
    ended_at = string.format('%.0f', ended_at),
    ['end'] = how,
    failure = string.sub(failure, 1, 256) }) }
  for line in string.gmatch(past or '', '[^\n]+') do
    if #lines < 16 then table.insert(lines, line) end
  end
  redis.call('HSET', KEYS[1], 'past', table.concat(lines, '\n'))
end
