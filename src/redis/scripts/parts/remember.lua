-- The lease that ends is remembered as a line of JSON, before those that ended earlier: as many as fit into 2,048 bytes.
local function remember(fence, armed_at, ended_at, how, lease, failure, past)
  local lines = { cjson.encode({
    holder = cjson.decode(lease).holder,
    fence = fence,
    held_us = string.format('%.0f', ended_at - armed_at),
    ended_at = string.format('%.0f', ended_at),
    ['end'] = how,
    failure = string.sub(failure, 1, 256) }) }
  local bytes = #lines[1]
  for line in string.gmatch(past or '', '[^\n]+') do
    bytes = bytes + #line + 1
    if #lines == 16 or bytes > 2048 then break end
    table.insert(lines, line)
  end
  redis.call('HSET', KEYS[1], 'past', table.concat(lines, '\n'))
end
